"""Making a trace small enough for a small machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vllm_lab.replay.requests import TracedRequest


def shortened(
    requests: Sequence[TracedRequest],
    max_prompt_tokens: int | None = None,
    max_output_tokens: int | None = None,
    time_scale: float = 1.0,
) -> list[TracedRequest]:
    """Without prompts longer than `max_prompt_tokens`, outputs cut, arrivals from 0 on and × `time_scale`."""
    kept = [row for row in requests if max_prompt_tokens is None or len(row.prompt) <= max_prompt_tokens]
    start = min((row.arrival_time for row in kept), default=0.0)
    return [
        replace(
            row,
            arrival_time=(row.arrival_time - start) * time_scale,
            output=row.output[:max_output_tokens],
        )
        for row in kept
    ]
