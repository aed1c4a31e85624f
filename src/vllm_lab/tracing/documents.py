"""The three tools: each answers a question plainly and traced, and gives a document of what it saw."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from vllm_lab.common.files import read_json
from vllm_lab.common.host import hardware
from vllm_lab.engines.engine import Engine
from vllm_lab.traces.tokenizer import ChatTokenizer
from vllm_lab.tracing import expected, summary
from vllm_lab.tracing.generation import Question, Traced, generate_traced
from vllm_lab.tracing.hooks import Tracer, traced
from vllm_lab.tracing.kernels import table
from vllm_lab.tracing.profiler import Row, profiled
from vllm_lab.tracing.selection import ALL, Selection

TOOLS = {
    "simple": "Forward hooks on every module: what is called, with which shapes.",
    "detailed": "Forward hooks on every module: every call's shapes, time and call stack.",
    "kernels": "PyTorch's profiler: CUDA kernels, on a CPU operators.",
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
        "classes": [
            {name: row[name] for name in ("class", "modules", "calls")} for row in summary.by_class(calls)
        ],
        "path": summary.layer_path(calls)[:limit],
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
    rows, stacks = summary.call_list(calls[:limit])
    return {
        **_calls_document("detailed", engine, question, runs, tracer),
        "classes": summary.by_class(calls),
        "most_called": summary.most_called(calls),
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
    """Kernels by time and by class, of a selection those that its modules ran; PyTorch's own table and the
    trace, always of all, are written to the two files."""
    runs, profile = generate_traced(engine, question, lambda: profiled(engine))
    profile.write(report, chrome_trace)
    rows = profile.rows(selection)
    total = sum(row.seconds for row in rows)
    return {
        **_document("kernels", engine, question, runs),
        "counted": "CUDA kernels" if engine.settings.device == "cuda" else "CPU operators",
        "patterns_of": table().version,
        "total_seconds": total,
        "total_kernels": len(rows),
        "classes": _by_class(rows, total),
        "kernels": [_kernel(row, total) for row in rows[:limit]],
    }


def not_run(tool: str, question: Question, device: str, reason: str) -> dict[str, Any]:
    """The document where vLLM or the device is missing."""
    return {**_head(tool, question, device), "status": "not_run", "reason": reason}


def _calls_document(
    tool: str, engine: Engine, question: Question, runs: Traced, tracer: Tracer
) -> dict[str, Any]:
    config = read_json(engine.settings.model_dir / "config.json")
    return {
        **_document(tool, engine, question, runs),
        "total_calls": len(tracer.calls),
        "check": expected.check(config, engine.modules, tracer.calls),
    }


def _document(tool: str, engine: Engine, question: Question, runs: Traced) -> dict[str, Any]:
    write = ChatTokenizer(engine.settings.model_dir).decoder()
    return {
        **_head(tool, question, engine.settings.device),
        "status": "measured",
        "reason": None,
        "hardware": hardware(),
        "environment": engine.environment(),
        "prompt_tokens": len(question.prompt),
        "answer": "".join(write(token) for token in runs.tokens),
        "forward_tokens": runs.traced[-1].scheduled,
        "overhead": runs.account(),
    }


def _head(tool: str, question: Question, device: str) -> dict[str, Any]:
    parameters = {"prompt": question.text, "max_tokens": question.max_tokens, "repeats": question.repeats}
    return {"tool": tool, "method": TOOLS[tool], "parameters": parameters, "device": device}


def _kernel(row: Row, total: float) -> dict[str, Any]:
    return {
        "name": row.name,
        "class": row.origin.kernel_class,
        "source": row.origin.source,
        "told_by": row.origin.told_by,
        "calls": row.calls,
        "seconds": row.seconds,
        "average_seconds": row.seconds / row.calls,
        "share": row.seconds / total,
    }


def _by_class(rows: list[Row], total: float) -> list[dict[str, Any]]:
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
