"""The requests of a sweep: the same ones at every rate."""

from __future__ import annotations

import numpy as np

from vllm_lab.common.errors import LabError
from vllm_lab.cost_model.measure import shuffled
from vllm_lab.replay.requests import TracedRequest
from vllm_lab.traces.trace import Trace


def choose(
    trace: Trace, requests: int, max_prompt_tokens: int, max_output_tokens: int, seed: int
) -> list[TracedRequest]:
    """Short requests of randomly chosen conversations, outputs cut, in order of arrival.

    LabError where the trace has too few.
    """
    rng = np.random.default_rng(seed)
    chosen = shuffled(trace, max_prompt_tokens, max_output_tokens, rng)[:requests]
    if len(chosen) < requests:
        raise LabError(
            f"the trace gives {len(chosen)} requests of at most {max_prompt_tokens} tokens, wanted are "
            f"{requests}; ask for fewer requests, or allow longer prompts"
        )
    return sorted(chosen, key=lambda row: row.arrival_time)
