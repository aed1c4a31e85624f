"""The three tools: each answers a question without and with tracing, and gives a document of what it saw."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from vllm_lab.common.files import read_json
from vllm_lab.common.metric import Metric
from vllm_lab.common.statistics import verification
from vllm_lab.engines.engine import Engine
from vllm_lab.measure import document
from vllm_lab.measure.document import Check, Test
from vllm_lab.traces.tokenizer import ChatTokenizer
from vllm_lab.tracing import modules
from vllm_lab.tracing.calls import Tracer, by_class, call_list, layer_path, most_called, traced
from vllm_lab.tracing.generation import Question, Traced, generate_traced
from vllm_lab.tracing.kernels import table
from vllm_lab.tracing.modules import ALL, Selection
from vllm_lab.tracing.profiler import Row, profiled

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
        "kernels", "distinct kernels, on a CPU distinct operators of one origin", "Distinct kernels"
    ),
}
TESTS = {
    "simple": Test(
        id="tracing_simple",
        name="Calls and shapes",
        question="Which modules does real vLLM call to make a token, and with which shapes?",
        method="Forward hooks on every module: what is called, with which shapes.",
        how_obtained=CLOCK,
        metrics=CALLS | COSTS,
        headline="plain_seconds",
    ),
    "detailed": Test(
        id="tracing_detailed",
        name="Calls, times and stacks",
        question="How long does each call of a module take, and which lines of vLLM lead to it?",
        method="Forward hooks on every module: every call's shapes, time and call stack.",
        how_obtained=CLOCK,
        metrics=CALLS | COSTS,
        headline="plain_seconds",
    ),
    "kernels": Test(
        id="tracing_kernels",
        name="Kernels",
        question="Which kernels does real vLLM run to make a token, and where does their time go?",
        method="PyTorch's profiler: CUDA kernels, on a CPU operators.",
        how_obtained=f"PyTorch's profiler; {CLOCK}",
        metrics=KERNELS | COSTS,
        headline="plain_seconds",
    ),
}
LISTED = {"simple": 100, "detailed": 40, "kernels": 30}  # rows of the long list, unless asked otherwise


def simple(
    engine: Engine,
    question: Question,
    selection: Selection = ALL,
    limit: int = LISTED["simple"],
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
    engine: Engine,
    question: Question,
    selection: Selection = ALL,
    limit: int = LISTED["detailed"],
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
        **_document("kernels", engine, question, runs, total_seconds=total, total_kernels=len(rows)),
        "counted": "CUDA kernels" if engine.settings.device == "cuda" else "CPU operators",
        "patterns_of": table().version,
        "classes": _kernel_classes(rows, total),
        "kernels": [_kernel(row, total) for row in rows[:limit]],
    }


def not_run(tool: str, question: Question, device: str, reason: str) -> dict[str, Any]:
    """The document where vLLM or the device is missing."""
    return document.not_run(TESTS[tool], device, _parameters(question), reason)


def _calls_document(
    tool: str, engine: Engine, question: Question, runs: Traced, tracer: Tracer
) -> dict[str, Any]:
    config = read_json(engine.settings.model_dir / "config.json")
    found = modules.check(config, engine.modules, tracer.calls)
    checks = [
        Check(
            f"calls_of_{row['kind']}",
            f"calls of {row['kind']} in each forward: {row['why']}",
            row["calls"],
            next((count for count in row["counted"] if count != row["calls"]), row["calls"]),
        )
        for row in found["kinds"]
    ]
    body = _document(tool, engine, question, runs, checks, total_calls=len(tracer.calls))
    return {**body, "check": found}


def _document(
    tool: str,
    engine: Engine,
    question: Question,
    runs: Traced,
    checks: list[Check] | None = None,
    **values: float,
) -> dict[str, Any]:
    """What the documents of all tools have; `values`: the tool's own metrics."""
    test, pairs = TESTS[tool], runs.runs()
    write = ChatTokenizer(engine.settings.model_dir).decoder()
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
        checks=document.checks_of([same, *(checks or ())]),
        prompt_tokens=len(question.prompt),
        answer="".join(write(token) for token in runs.tokens),
        forward_tokens=runs.traced[-1].scheduled,
    )


def _parameters(question: Question) -> dict[str, Any]:
    return {"prompt": question.text, "max_tokens": question.max_tokens, "repeats": question.repeats}


def _kernel(row: Row, total: float) -> dict[str, Any]:
    return {
        "name": row.name,
        "class": row.origin.kernel_class,
        "source": row.origin.source,
        "classified_by": row.origin.classified_by,
        "calls": row.calls,
        "seconds": row.seconds,
        "average_seconds": row.seconds / row.calls,
        "share": row.seconds / total,
    }


def _kernel_classes(rows: list[Row], total: float) -> list[dict[str, Any]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.origin.kernel_class].append(row)
    found = [
        {
            "class": name,
            "what": table().classes[name],
            "kernels": len(group),
            "calls": sum(row.calls for row in group),
            "seconds": sum(row.seconds for row in group),
            "share": sum(row.seconds for row in group) / total,
            "sources": sorted({row.origin.source for row in group if row.origin.source}),
        }
        for name, group in groups.items()
    ]
    return sorted(found, key=lambda row: -row["seconds"])
