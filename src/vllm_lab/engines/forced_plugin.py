"""Makes the model answer what the trace holds, through vLLM's own interface for logits processors.

The forward pass and the sampler run as ever; only the winner is decided. So the blocks of outputs hold the
trace's tokens, and a later turn finds them in the prefix cache as it would in production.

vLLM's server imports this as `--logits-processors vllm_lab.engines.forced_plugin:ForcedTokens`. It imports
vLLM at the top: import it late.
"""

from __future__ import annotations

from typing import Any

import torch
from vllm.v1.sample.logits_processor import LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from vllm_lab.engines.settings import FORCED_TOKENS


class ForcedTokens(LogitsProcessor):
    """Knows for each row of the batch the forced tokens, and vLLM's own growing list of those that came."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
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
