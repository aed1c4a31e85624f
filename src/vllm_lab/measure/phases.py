"""Prefill and decode apart: by what each step of the engine did, never by dividing a whole run's time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mini_vllm.clock import is_decode, kind_of_step
from vllm_lab.engines.replay import RealStep


@dataclass
class Phase:
    """Steps of one kind."""

    steps: int = 0
    seconds: float = 0.0
    prompt_tokens: int = 0  # computed
    output_tokens: int = 0  # that came


def phases(steps: Iterable[RealStep], prompts: Mapping[str, int]) -> dict[str, Phase]:
    """`prefill`: steps in which each request computed its prompt; `decode`: none did; `mixed`: the others.

    `prompts`: request id -> prompt tokens. Nothing was preempted. A step that computes the end of a prompt
    brings that request's first output token, counted where it came.
    """
    found = {name: Phase() for name in ("prefill", "decode", "mixed")}
    for step in steps:
        scheduled = step.scheduled
        start = {name: step.computed[name] - tokens for name, tokens in scheduled.items()}
        decoding = {
            name for name, tokens in scheduled.items() if is_decode(tokens, start[name], prompts[name])
        }
        prefilling = [name for name in scheduled if name not in decoding]
        phase = found[kind_of_step(len(prefilling), len(decoding))]
        phase.steps += 1
        phase.seconds += step.seconds
        phase.prompt_tokens += sum(
            min(step.computed[name], prompts[name]) - start[name] for name in prefilling
        )
        phase.output_tokens += sum(step.computed[name] >= prompts[name] for name in scheduled)
    return found
