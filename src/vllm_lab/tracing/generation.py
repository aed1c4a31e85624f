"""A prompt answered by the model, plainly and traced in turns, so that tracing's own cost is known."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from mini_vllm.limits import Limits
from vllm_lab.common import host
from vllm_lab.common.errors import LabError
from vllm_lab.engines.engine import Engine
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.measure.repeats import Disturbance, used, watched
from vllm_lab.replay.requests import TracedRequest

Trace = TypeVar("Trace")
BLOCK = 32  # tokens; every backend takes it


@dataclass(frozen=True)
class Question:
    """What is asked, and how often each way."""

    text: str
    prompt: list[int]  # its tokens
    max_tokens: int  # of the answer
    repeats: int  # plain and traced


@dataclass(frozen=True)
class Answer:
    """One generation."""

    tokens: list[int]
    scheduled: list[int]  # tokens computed in each step
    seconds: list[float]  # of each step


@dataclass(frozen=True)
class Traced:
    """All generations; the trace is of the last."""

    plain: list[Answer]
    traced: list[Answer]
    disturbed: list[Disturbance]  # what the machine did beside each pair of them

    @property
    def tokens(self) -> list[int]:
        """The answer."""
        return self.traced[-1].tokens

    def account(self) -> dict[str, Any]:
        """What tracing costs: s in steps with and without, and whether the answers are the same.

        Pairs that other jobs disturbed do not count where two quiet ones are.
        """
        counts = used(self.disturbed)
        runs = {
            name: [sum(answer.seconds) for answer in answers]
            for name, answers in (("plain", self.plain), ("traced", self.traced))
        }
        middle = {name: median(compress(seconds, counts)) for name, seconds in runs.items()}
        return {
            "plain_runs": runs["plain"],
            "traced_runs": runs["traced"],
            "other_cores": [pair.other_cores for pair in self.disturbed],
            "used": counts,
            "plain_seconds": middle["plain"],
            "traced_seconds": middle["traced"],
            "added": middle["traced"] / middle["plain"] - 1,
            "same_answers": all(answer.tokens == self.tokens for answer in [*self.plain, *self.traced]),
        }


def settings(model_dir: Path, device: str, tokens: int, **given: Any) -> EngineSettings:
    """An engine with room for one request of so many tokens, without a prefix cache: all runs do the same.

    `given`: further fields of EngineSettings.
    """
    limits = Limits(
        num_blocks=max(8, tokens // BLOCK + 2),  # the engine's warm-up needs 8
        block_size=BLOCK,
        max_num_seqs=4,
        max_num_batched_tokens=max(256, tokens),
        prefix_caching=False,
    )
    return EngineSettings(model_dir, limits, device, **given)


def generate(engine: Engine, question: Question) -> Answer:
    """Answer once."""
    answer = Answer([], [], [])
    engine.ask("question", question.prompt, question.max_tokens)
    while engine.busy:
        step = engine.step()
        if step.scheduled:
            answer.scheduled.append(sum(step.scheduled.values()))
            answer.seconds.append(step.seconds)
        answer.tokens.extend(step.tokens.values())
    return answer


def generate_traced(
    engine: Engine, question: Question, tracing: Callable[[], AbstractContextManager[Trace]]
) -> tuple[Traced, Trace]:
    """Answer plainly and traced in turns; the last trace. LabError if the question is too long."""
    answer = [0] * question.max_tokens
    reason = engine.refusal(TracedRequest("question", 0.0, 0, question.prompt, answer))
    if reason:
        raise LabError(f"prompt and answer: {reason}; take a shorter prompt or a smaller --max-tokens")
    threads = host.threads() if engine.settings.device == "cpu" else 1
    plain, traced, disturbed = [], [], []

    def once() -> Trace:
        plain.append(generate(engine, question))
        with tracing() as trace:
            traced.append(generate(engine, question))
        return trace

    for _ in range(question.repeats):
        trace, disturbance = watched(once, threads)
        disturbed.append(disturbance)
    return Traced(plain, traced, disturbed), trace
