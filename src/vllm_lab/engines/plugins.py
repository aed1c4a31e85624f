"""Classes that vLLM takes by its own interfaces: a logits processor and a scheduler.

This module imports vLLM at the top: import it late. vLLM imports it by name for `scheduler_cls` and, in its
server, for `--logits-processors vllm_lab.engines.plugins:ForcedTokens`.
"""

from typing import Any

import torch
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.sample.logits_processor import LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from vllm_lab.engines.settings import FORCED_TOKENS


class ForcedTokens(LogitsProcessor):
    """Makes the model answer with the trace's output.

    The forward pass and the sampler run as usual; only the token that wins is fixed. So the blocks of outputs
    hold the trace's tokens, and a later turn finds them in the prefix cache as it would in production.
    """

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        # Row of the batch -> the forced tokens, and vLLM's own growing list of the tokens so far.
        self.rows: dict[int, tuple[list[int], list[int]]] = {}

    def is_argmax_invariant(self) -> bool:
        """False: vLLM must not skip this for greedy sampling."""
        return False

    def update_state(self, batch_update: Any) -> None:
        """Follow the requests that enter, leave and change their row."""
        process_dict_updates(self.rows, batch_update, self._row)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """`logits` [requests, vocabulary]: the next forced token of each request beats all others."""
        rows = list(self.rows)
        tokens = [forced[len(came)] for forced, came in self.rows.values()]
        logits[rows, tokens] = float("inf")
        return logits

    @staticmethod
    def _row(params: Any, _: Any, came: list[int]) -> tuple[list[int], list[int]] | None:
        forced = (params.extra_args or {}).get(FORCED_TOKENS)
        return None if forced is None else (forced, came)


class SeparatedScheduler(Scheduler):
    """A scheduler whose steps prefill or decode, never both. Decodes wait while a prefill runs or can begin.

    vLLM's own Scheduler decides all the rest. In a prefill step it does not see the requests that decode.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._no_room = False  # the last prefill step found no blocks: a decode step must come first

    def schedule(self, *args: Any, **kwargs: Any) -> Any:
        """One step. If the KV cache has no room for a prompt, decodes go on until a request leaves."""
        decoding = [request for request in self.running if not _prefilling(request)]
        prefilling = len(decoding) < len(self.running)
        can_begin = bool(self.waiting) and len(self.running) < self.max_num_active_reqs
        if not decoding or self._no_room or not (prefilling or can_begin):
            self._no_room = False
            return super().schedule(*args, **kwargs)
        self.running = [request for request in self.running if _prefilling(request)]
        self.max_num_active_reqs -= len(decoding)
        try:
            output = super().schedule(*args, **kwargs)
        finally:
            self.max_num_active_reqs += len(decoding)
            self.running = decoding + self.running
        self._no_room = output.total_num_scheduled_tokens == 0
        return output


def _prefilling(request: Any) -> bool:
    """Whether tokens are still to be computed of the prompt, or of what a preempted request had generated."""
    return request.num_output_tokens == 0 or request.num_computed_tokens < request.num_tokens - 1
