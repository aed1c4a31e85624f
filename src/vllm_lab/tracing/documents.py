"""The three tools: each answers a question in turns without and with tracing, and documents what it saw."""

import argparse
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from mini_vllm.limits import Limits
from vllm_lab.common import host
from vllm_lab.common.errors import LabError
from vllm_lab.common.files import read_json
from vllm_lab.common.flags import add_device, positive
from vllm_lab.common.metric import Metric
from vllm_lab.common.statistics import TOLERANCE_PCT
from vllm_lab.engines.engine import Engine
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.measure import document
from vllm_lab.measure.document import Check, Test
from vllm_lab.measure.repeats import Reading, Repeats, Run
from vllm_lab.replay.replay import TracedRequest
from vllm_lab.traces.tokenizer import ChatTokenizer
from vllm_lab.tracing import modules
from vllm_lab.tracing.calls import Tracer, by_class, call_list, layer_path, most_called, traced
from vllm_lab.tracing.kernels import kernel_classes, profiled, table
from vllm_lab.tracing.modules import ALL, Selection

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
    seconds: float  # in steps


@dataclass(frozen=True)
class Answers:
    """All answers, in pairs without and with tracing."""

    all: list[Answer]
    runs: list[Run]  # the pairs, with plain_seconds and traced_seconds
    repeats: Repeats

    def costs(self) -> dict[str, float]:
        """The medians of the pairs that count: plain_seconds, traced_seconds (s in steps), and `added`."""
        plain, traced = (
            median(run.values[name] for run in self.runs if run.used)
            for name in ("plain_seconds", "traced_seconds")
        )
        return {"plain_seconds": plain, "traced_seconds": traced, "added": traced / plain - 1}


def generate(engine: Engine, question: Question) -> Answer:
    """Answer once."""
    steps = []
    engine.ask("question", question.prompt, question.max_tokens)
    while engine.busy:
        steps.append(engine.step())
    computing = [step for step in steps if step.scheduled]
    return Answer(
        [token for step in steps for token in step.tokens.values()],
        [sum(step.scheduled.values()) for step in computing],
        sum(step.seconds for step in computing),
    )


def generate_traced(
    engine: Engine, question: Question, tracing: Callable[[], AbstractContextManager[Trace]]
) -> tuple[Answers, Trace]:
    """Answer without and with tracing in turns; also the last trace. LabError if the question is too long."""
    asked = TracedRequest("question", 0.0, 0, question.prompt, [0] * question.max_tokens)
    if reason := engine.refusal(asked):
        raise LabError(f"prompt and answer: {reason}; take a shorter prompt or a smaller --max-tokens")
    answers: list[Answer] = []
    trace: Trace

    def pair(_: int) -> Reading:
        nonlocal trace
        plain = generate(engine, question)
        with tracing() as trace:
            traced = generate(engine, question)
        answers.extend((plain, traced))
        return Reading({"plain_seconds": plain.seconds, "traced_seconds": traced.seconds})

    repeats = Repeats(question.repeats, question.repeats, TOLERANCE_PCT)
    threads = host.threads() if engine.settings.device == "cpu" else 1
    runs = repeats.run(pair, "plain_seconds", threads)
    return Answers(answers, runs, repeats), trace


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


def engine_from(arguments: argparse.Namespace, question: Question, eager: bool = True) -> Engine:
    """Start an engine with room for the question, by the flags of `add_question`.

    It has no prefix cache, so all runs are alike. Unavailable where vLLM or the device is missing.
    """
    tokens = len(question.prompt) + question.max_tokens
    limits = Limits(
        num_blocks=max(8, tokens // BLOCK + 2),  # the engine's warm-up needs 8
        block_size=BLOCK,
        max_num_seqs=4,
        max_num_batched_tokens=max(256, tokens),
        prefix_caching=False,
    )
    given = {"load_format": arguments.load_format, "threads": host.threads()}
    return Engine(EngineSettings(arguments.model, limits, arguments.device, enforce_eager=eager, **given))


def simple(
    engine: Engine, question: Question, selection: Selection = ALL, limit: int = LISTED["simple"]
) -> dict[str, Any]:
    """Calls by class, and the path through the first layer with its shapes."""
    answers, tracer = generate_traced(engine, question, lambda: traced(engine))
    calls = selection.of(tracer.calls)
    return {
        **_calls_document("simple", engine, question, answers, tracer),
        "classes": [{name: row[name] for name in ("class", "modules", "calls")} for row in by_class(calls)],
        "path": layer_path(calls)[:limit],
    }


def detailed(
    engine: Engine, question: Question, selection: Selection = ALL, limit: int = LISTED["detailed"]
) -> dict[str, Any]:
    """Calls one by one, by class, and the ten modules most called."""
    answers, tracer = generate_traced(engine, question, lambda: traced(engine, stacks=True))
    calls = selection.of(tracer.calls)
    rows, stacks = call_list(calls[:limit])
    return {
        **_calls_document("detailed", engine, question, answers, tracer),
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
    roots = engine.modules if engine.settings.enforce_eager else {}  # a compiled graph has no modules
    on_device = engine.settings.device == "cuda"
    answers, profile = generate_traced(engine, question, lambda: profiled(roots, on_device))
    profile.write(report, chrome_trace)
    rows = profile.rows(selection)
    values = {"total_seconds": sum(row["seconds"] for row in rows), "total_kernels": len(rows)}
    return {
        **_document("kernels", engine, question, answers, values),
        "counted": "CUDA kernels" if on_device else "CPU operators",
        "patterns_of": table().version,
        "classes": kernel_classes(rows),
        "kernels": rows[:limit],
    }


def not_run(tool: str, question: Question, device: str, reason: str) -> dict[str, Any]:
    """The document where vLLM or the device is missing."""
    parameters = _parameters(question)
    return document.document(
        TESTS[tool], device, parameters, "not_run", reason=reason, **document.now_and_here()
    )


def _calls_document(
    tool: str, engine: Engine, question: Question, answers: Answers, tracer: Tracer
) -> dict[str, Any]:
    config = read_json(engine.settings.model_dir / "config.json")
    found = modules.check(config, engine.modules, tracer.calls)
    values, checks = {"total_calls": len(tracer.calls)}, modules.checks_of_kinds(found)
    return _document(tool, engine, question, answers, values, checks) | {"check": found}


def _document(
    tool: str,
    engine: Engine,
    question: Question,
    answers: Answers,
    values: dict[str, float],
    checks: Sequence[Check] = (),
) -> dict[str, Any]:
    """What the documents of all tools have; `values`: the tool's own metrics."""
    decode, last = ChatTokenizer(engine.settings.model_dir).decoder(), answers.all[-1]
    different = sum(answer.tokens != last.tokens for answer in answers.all)
    same = Check("same_answers", "answers that differ, with tracing or without", 0, different)
    found = document.measured(
        TESTS[tool],
        engine.settings.device,
        _parameters(question),
        {"vllm": engine.environment()},
        answers.runs,
        answers.repeats,
        checks=[same, *checks],
        prompt_tokens=len(question.prompt),
        answer="".join(map(decode, last.tokens)),
        forward_tokens=last.scheduled,
    )
    return found | {"results": document.results_of(TESTS[tool].metrics, values | answers.costs())}


def _parameters(question: Question) -> dict[str, Any]:
    return {"prompt": question.text, "max_tokens": question.max_tokens, "repeats": question.repeats}
