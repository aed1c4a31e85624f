"""A prompt answered by the model, in turns without and with tracing, so that the cost of tracing is known.

The flags of the tools and of the rules' scripts are here too: which model gets which question.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from mini_vllm.limits import Limits
from vllm_lab.common import host
from vllm_lab.common.errors import LabError
from vllm_lab.common.flags import add_device, positive
from vllm_lab.engines.engine import Engine
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.measure.repeats import Disturbance, used, watched
from vllm_lab.replay.requests import TracedRequest
from vllm_lab.traces.tokenizer import ChatTokenizer

Trace = TypeVar("Trace")
BLOCK = 32  # tokens; every backend takes it


@dataclass(frozen=True)
class Question:
    """A prompt, and how often it is answered."""

    text: str
    prompt: list[int]  # its tokens
    max_tokens: int  # of the answer
    repeats: int  # without and with tracing


@dataclass(frozen=True)
class Answer:
    """One generation."""

    tokens: list[int]
    scheduled: list[int]  # tokens computed in each step
    seconds: list[float]  # of each step


@dataclass(frozen=True)
class Traced:
    """All answers, in pairs: without and with tracing. The trace is of the last."""

    plain: list[Answer]
    traced: list[Answer]
    disturbed: list[Disturbance]  # what the machine did meanwhile, for each pair

    @property
    def tokens(self) -> list[int]:
        """The answer."""
        return self.traced[-1].tokens

    @property
    def different_answers(self) -> int:
        """How many of the answers differ from the last."""
        return sum(answer.tokens != self.tokens for answer in (*self.plain, *self.traced))

    def runs(self) -> list[dict[str, Any]]:
        """The pairs as a result document lists its runs.

        Pairs that other jobs disturbed do not count where there are two undisturbed ones.
        """
        pairs = zip(self.plain, self.traced, used(self.disturbed), self.disturbed, strict=True)
        return [
            {
                "run": number,
                "values": {"plain_seconds": sum(plain.seconds), "traced_seconds": sum(traced.seconds)},
                "raw": {},
                "used": counts,
                **asdict(disturbance),
            }
            for number, (plain, traced, counts, disturbance) in enumerate(pairs)
        ]

    def costs(self) -> dict[str, float]:
        """The medians of the pairs that count: plain_seconds, traced_seconds (s in steps), and `added`."""
        values = [run["values"] for run in self.runs() if run["used"]]
        plain, traced = (median(value[name] for value in values) for name in values[0])
        return {"plain_seconds": plain, "traced_seconds": traced, "added": traced / plain - 1}


def settings(model_dir: Path, device: str, tokens: int, **given: Any) -> EngineSettings:
    """An engine with room for one request of `tokens` tokens. It has no prefix cache, so all runs are alike.

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
    """Answer without and with tracing in turns; also the last trace. LabError if the question is too long."""
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


def add_question(parser: argparse.ArgumentParser) -> None:
    """Add the model, the prompt and how often it is answered."""
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="such as results/data/model")
    parser.add_argument("--prompt", default="The capital of France is", help="(%(default)s)")
    parser.add_argument("--max-tokens", type=positive, default=8, help="of the answer (%(default)s)")
    parser.add_argument("--repeats", type=positive, default=3, help="with and without tracing (%(default)s)")
    add_device(parser)
    parser.add_argument("--load-format", choices=("auto", "dummy"), default="auto", help="dummy: random")


def question_from(arguments: argparse.Namespace) -> Question:
    """The question that the flags ask, in the model's tokens. LabError for an empty prompt."""
    prompt = ChatTokenizer(arguments.model).encode([arguments.prompt])[0].tolist()
    if not prompt:
        raise LabError("--prompt: an empty text has no token to begin with; give a word")
    return Question(arguments.prompt, prompt, arguments.max_tokens, arguments.repeats)


def settings_from(
    arguments: argparse.Namespace, question: Question, enforce_eager: bool = True
) -> EngineSettings:
    """The settings of an engine for the question."""
    tokens = len(question.prompt) + question.max_tokens
    return settings(
        arguments.model,
        arguments.device,
        tokens,
        enforce_eager=enforce_eager,
        load_format=arguments.load_format,
        threads=host.threads(),
    )
