"""The three tools: each answers a question in turns without and with tracing, and documents what it saw."""

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
from vllm_lab.common.files import read_json
from vllm_lab.common.flags import add_device, positive
from vllm_lab.common.metric import Metric
from vllm_lab.common.statistics import verification
from vllm_lab.engines.engine import Engine
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.measure import document
from vllm_lab.measure.document import Check, Test
from vllm_lab.measure.repeats import Disturbance, used, watched
from vllm_lab.replay.replay import TracedRequest
from vllm_lab.traces.tokenizer import ChatTokenizer
from vllm_lab.tracing import modules
from vllm_lab.tracing.calls import Tracer, by_class, call_list, layer_path, most_called, traced
from vllm_lab.tracing.kernels import table
from vllm_lab.tracing.modules import ALL, Selection
from vllm_lab.tracing.profiler import kernel_classes, kernel_list, profiled

Trace = TypeVar("Trace")
BLOCK = 32  # tokens; every backend takes it
CLOCK = "time.perf_counter around each LLMEngine.step; medians of the pairs of answers that count"
COSTS = {
    "plain_seconds": Metric("s", "seconds in the engine's steps without tracing", "Steps without tracing"),
    "traced_seconds": Metric("s", "seconds in the engine's steps with tracing", "Steps with tracing"),
    "added": Metric("fraction", "traced_seconds / plain_seconds - 1", "Time that tracing adds"),
}
CALLS = {"total_calls": Metric("calls", "calls of all modules in all forwards", "Calls of modules")}
KERNELS = {
    "total_seconds": Metric("s", "seconds of all kernels, on a CPU of all operators", "Time in kernels"),
    "total_kernels": Metric(
        "kernels", "distinct kernels, on a CPU distinct operators of one origin", "Distinct kernels"),
}  # fmt: skip
TESTS = {
    "simple": Test(
        "tracing_simple", "Calls and shapes",
        "Which modules does real vLLM call to make a token, and with which shapes?",
        "Forward hooks on every module: what is called, with which shapes.",
        CLOCK, CALLS | COSTS, headline="plain_seconds"),
    "detailed": Test(
        "tracing_detailed", "Calls, times and stacks",
        "How long does each call of a module take, and which lines of vLLM lead to it?",
        "Forward hooks on every module: every call's shapes, time and call stack.",
        CLOCK, CALLS | COSTS, headline="plain_seconds"),
    "kernels": Test(
        "tracing_kernels", "Kernels",
        "Which kernels does real vLLM run to make a token, and where does their time go?",
        "PyTorch's profiler: CUDA kernels, on a CPU operators.",
        f"PyTorch's profiler; {CLOCK}", KERNELS | COSTS, headline="plain_seconds"),
}  # fmt: skip
LISTED = {"simple": 100, "detailed": 40, "kernels": 30}  # rows of the long list, unless asked otherwise


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
    """All answers. The trace is of the last."""

    pairs: list[tuple[Answer, Answer]]  # without and with tracing
    disturbed: list[Disturbance]  # what the machine did meanwhile, for each pair

    @property
    def last(self) -> Answer:
        """The traced answer."""
        return self.pairs[-1][1]

    @property
    def different_answers(self) -> int:
        """How many of the answers differ from the last."""
        return sum(answer.tokens != self.last.tokens for pair in self.pairs for answer in pair)

    def runs(self) -> list[dict[str, Any]]:
        """The pairs as a result document lists its runs.

        Pairs that other jobs disturbed do not count where there are two undisturbed ones.
        """
        pairs = zip(self.pairs, used(self.disturbed), self.disturbed, strict=True)
        return [
            {
                "run": number,
                "values": {"plain_seconds": sum(plain.seconds), "traced_seconds": sum(traced.seconds)},
                "raw": {},
                "used": counts,
                **asdict(disturbance),
            }
            for number, ((plain, traced), counts, disturbance) in enumerate(pairs)
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
    asked = TracedRequest("question", 0.0, 0, question.prompt, [0] * question.max_tokens)
    if reason := engine.refusal(asked):
        raise LabError(f"prompt and answer: {reason}; take a shorter prompt or a smaller --max-tokens")
    threads = host.threads() if engine.settings.device == "cpu" else 1
    pairs, disturbed = [], []

    def once() -> Trace:
        plain = generate(engine, question)
        with tracing() as trace:
            pairs.append((plain, generate(engine, question)))
        return trace

    for _ in range(question.repeats):
        trace, disturbance = watched(once, threads)
        disturbed.append(disturbance)
    return Traced(pairs, disturbed), trace


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
    given = {"load_format": arguments.load_format, "threads": host.threads()}
    return settings(arguments.model, arguments.device, tokens, enforce_eager=enforce_eager, **given)


def simple(
    engine: Engine, question: Question, selection: Selection = ALL, limit: int = LISTED["simple"]
) -> dict[str, Any]:
    """Calls by class, and the path through the first layer with its shapes."""
    runs, tracer = generate_traced(engine, question, lambda: traced(engine))
    calls = selection.of(tracer.calls)
    return {
        **_calls_document("simple", engine, question, runs, tracer),
        "classes": [{name: row[name] for name in ("class", "modules", "calls")} for row in by_class(calls)],
        "path": layer_path(calls)[:limit],
    }


def detailed(
    engine: Engine, question: Question, selection: Selection = ALL, limit: int = LISTED["detailed"]
) -> dict[str, Any]:
    """Calls one by one, by class, and the ten modules most called."""
    runs, tracer = generate_traced(engine, question, lambda: traced(engine, stacks=True))
    calls = selection.of(tracer.calls)
    rows, stacks = call_list(calls[:limit])
    return {
        **_calls_document("detailed", engine, question, runs, tracer),
        "classes": by_class(calls),
        "most_called": most_called(calls),
        "selected_calls": len(calls),
        "calls": rows,
        "stacks": stacks,
    }


def kernels(
    engine: Engine,
    question: Question,
    report: Path,
    chrome_trace: Path,
    selection: Selection = ALL,
    limit: int = LISTED["kernels"],
) -> dict[str, Any]:
    """Kernels by time and by class; of a selection, those that its modules ran.

    PyTorch's own table and the trace are written to the two files. They always cover all kernels.
    """
    runs, profile = generate_traced(engine, question, lambda: profiled(engine))
    profile.write(report, chrome_trace)
    rows = profile.rows(selection)
    total = sum(row.seconds for row in rows)
    return {
        **_document("kernels", engine, question, runs, [], total_seconds=total, total_kernels=len(rows)),
        "counted": "CUDA kernels" if engine.settings.device == "cuda" else "CPU operators",
        "patterns_of": table().version,
        "classes": kernel_classes(rows),
        "kernels": kernel_list(rows, limit),
    }


def not_run(tool: str, question: Question, device: str, reason: str) -> dict[str, Any]:
    """The document where vLLM or the device is missing."""
    when = document.now_and_here()
    return document.document(TESTS[tool], device, _parameters(question), "not_run", reason=reason, **when)


def _calls_document(
    tool: str, engine: Engine, question: Question, runs: Traced, tracer: Tracer
) -> dict[str, Any]:
    config = read_json(engine.settings.model_dir / "config.json")
    found = modules.check(config, engine.modules, tracer.calls)
    checks = modules.checks_of_kinds(found)
    return _document(tool, engine, question, runs, checks, total_calls=len(tracer.calls)) | {"check": found}


def _document(
    tool: str, engine: Engine, question: Question, runs: Traced, checks: list[Check], **values: float
) -> dict[str, Any]:
    """What the documents of all tools have; `values`: the tool's own metrics."""
    test, pairs = TESTS[tool], runs.runs()
    decode = ChatTokenizer(engine.settings.model_dir).decoder()
    same = Check("same_answers", "answers that differ, with tracing or without", 0, runs.different_answers)
    headline = [pair["values"][test.headline] for pair in pairs if pair["used"]]
    return document.document(
        test,
        engine.settings.device,
        _parameters(question),
        "measured",
        **document.now_and_here(),
        environments={"vllm": engine.environment()},
        runs=pairs,
        results=document.results_of(test.metrics, {**values, **runs.costs()}),
        verification=verification(test.headline, headline),
        checks=[same, *checks],
        prompt_tokens=len(question.prompt),
        answer="".join(map(decode, runs.last.tokens)),
        forward_tokens=runs.last.scheduled,
    )


def _parameters(question: Question) -> dict[str, Any]:
    return {"prompt": question.text, "max_tokens": question.max_tokens, "repeats": question.repeats}
