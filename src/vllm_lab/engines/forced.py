"""Making the model answer what the trace holds, through vLLM's own interface for logits processors.

The forward pass and the sampler run as ever; only the winner is decided. So the blocks of outputs hold the
trace's tokens, and a later turn finds them in the prefix cache as it would have in production.
"""

from __future__ import annotations

import functools
from typing import Any

KEY = "forced_tokens"  # in SamplingParams.extra_args: the output token ids


@functools.cache
def forced_tokens_processor() -> type:
    """The LogitsProcessor class; vLLM's base class is there only where vLLM is."""
    import torch
    from vllm.v1.sample.logits_processor import LogitsProcessor
    from vllm.v1.sample.logits_processor.builtin import process_dict_updates

    class ForcedTokens(LogitsProcessor):
        """For each row of the batch: the tokens to come, and vLLM's own growing list of those that came."""

        def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
            self.rows: dict[int, tuple[list[int], list[int]]] = {}

        def is_argmax_invariant(self) -> bool:
            return False

        def update_state(self, batch_update: Any) -> None:
            process_dict_updates(self.rows, batch_update, self._row)

        def apply(self, logits: torch.Tensor) -> torch.Tensor:
            """`logits` [requests, vocabulary]: the next forced token of each request beats all others."""
            rows = list(self.rows)
            tokens = [forced[len(came)] for forced, came in self.rows.values()]
            logits[rows, tokens] = float("inf")
            return logits

        @staticmethod
        def _row(params: Any, _: Any, came: list[int]) -> tuple[list[int], list[int]] | None:
            forced = (params.extra_args or {}).get(KEY)
            return None if forced is None else (forced, came)

    return ForcedTokens
