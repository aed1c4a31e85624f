"""The tools' documents as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile
from typing import Any


def simple(document: dict[str, Any]) -> str:
    """Counts, the path through the first layer, and the check."""
    path = [
        (
            "  " * row["depth"] + (row["module"].rpartition(".")[2] if row["depth"] else row["module"]),
            row["class"],
            _shapes(row["prefill"]),
            _shapes(row["decode"]) if row["decode"] else "-",
        )
        for row in document["path"]
    ]
    return _sections(
        _head(document),
        ("Calls by class", _classes(document, ("class", "modules", "calls"))),
        ("The first layer, in order of calls", table(("module", "class", "prefill", "decode"), path)),
        *_check(document),
    )


def detailed(document: dict[str, Any]) -> str:
    """By class, the most called, then call by call, with the stacks at the end."""
    times = ("seconds", "self_seconds")
    calls = [
        (
            row["forward"],
            "  " * row["depth"] + (row["module"] or row["class"]),
            row["class"],
            _shapes(row),
            *(_milliseconds(row[name]) for name in times),
            row["stack"],
        )
        for row in document["calls"]
    ]
    shown = f"Calls in order, {len(calls)} of {document['selected_calls']}"
    most = [
        (
            row["module"] or "the model",
            row["class"],
            row["calls"],
            *(_milliseconds(row[name]) for name in times),
        )
        for row in document["most_called"]
    ]
    return _sections(
        _head(document),
        ("Calls by class", _classes(document, ("class", "modules", "calls"), times)),
        ("Most called", table(("module", "class", "calls", "ms", "own ms"), most)),
        (shown, table(("forward", "module", "class", "shapes", "ms", "own ms", "stack"), calls)),
        ("Call stacks, the innermost last", _stacks(document["stacks"])),
        *_check(document),
    )


def kernels(document: dict[str, Any]) -> str:
    """By class, then the kernels that took longest."""
    classes = [
        (row["class"], row["calls"], _milliseconds(row["seconds"]), f"{row['share']:.1%}", row["what"])
        for row in document["classes"]
    ]
    longest = [
        (
            row["name"][:100],
            row["class"],
            row["calls"],
            _milliseconds(row["seconds"]),
            f"{1e6 * row['average_seconds']:.1f}",
            f"{row['share']:.1%}",
            row["source"] or "-",
        )
        for row in document["kernels"]
    ]
    columns = ("name", "class", "calls", "ms", "us each", "share", "source")
    total = int(_value(document, "total_kernels"))
    shown = f"{document['counted']}, {len(longest)} of {total}, by time"
    return _sections(
        _head(document),
        (
            f"By class, by the names of vLLM {document['patterns_of']}",
            table(("class", "calls", "ms", "share", "what"), classes),
        ),
        (shown, table(columns, longest)),
    )


LAYOUTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "simple": simple,
    "detailed": detailed,
    "kernels": kernels,
}


def layout(document: dict[str, Any]) -> str:
    """The text of any of the tools' documents."""
    tool = document["test_id"].removeprefix("tracing_")
    if document["status"] == "not_run":
        return f"{tool}: not run\n{document['reason']}\n"
    return LAYOUTS[tool](document)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as text: each column has one width, and numbers are right-aligned."""
    body = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *body, strict=True)]
    numeric = [all(_is_number(row[index]) for row in body) and bool(body) for index in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        pairs = zip(cells, widths, numeric, strict=True)
        return "  ".join(
            cell.rjust(width) if right else cell.ljust(width) for cell, width, right in pairs
        ).rstrip()

    return "\n".join([line(header), line(["-" * width for width in widths]), *map(line, body)])


def _head(document: dict[str, Any]) -> tuple[str, str]:
    environment, pairs = document["environments"]["vllm"], document["runs"]
    plain, traced, added = (_value(document, name) for name in ("plain_seconds", "traced_seconds", "added"))
    same = next(check["holds"] for check in document["checks"] if check["kind"] == "same_answers")
    prefill, *decodes = document["forward_tokens"]
    return (
        document["method"],
        f"vLLM {environment['vllm']} on {environment['device_name']}\n"
        f"{document['parameters']['prompt']!r} -> {document['answer']!r}\n"
        f"{1 + len(decodes)} forwards: the prompt's {prefill} tokens, then {len(decodes)} of one token each\n"
        f"tracing adds {added:+.1%} to the time of the steps: {plain:.4f} s without, {traced:.4f} s with, "
        f"medians of {sum(pair['used'] for pair in pairs)}; "
        f"the answers are {'the same' if same else 'NOT the same'}",
    )


def _value(document: dict[str, Any], metric: str) -> float:
    return document["results"][metric]["value"]


def _check(document: dict[str, Any]) -> list[tuple[str, str]]:
    check = document["check"]
    rows = [
        (
            row["kind"],
            row["calls"],
            " ".join(map(str, sorted(set(row["counted"])))),
            _yes(row["holds"]),
            row["why"],
        )
        for row in check["kinds"]
    ]
    silent = [(row["module"], row["class"], row["reason"] or "not known") for row in check["silent"]]
    findings = "\n".join(check["findings"]) or "none"
    return [
        (
            f"Calls in each forward, by {check['basis']}",
            table(("kind", "expected", "counted", "holds", "why"), rows),
        ),
        ("Never called", table(("module", "class", "why"), silent)),
        ("Findings", findings),
    ]


def _classes(document: dict[str, Any], names: Sequence[str], times: Sequence[str] = ()) -> str:
    rows = [
        (*(row[name] for name in names), *(_milliseconds(row[name]) for name in times))
        for row in document["classes"]
    ]
    return table((*names, *("ms", "own ms")[: len(times)]), rows)


def _stacks(stacks: Sequence[Sequence[str]]) -> str:
    """Each stack without the frames that it shares with the one before."""
    lines: list[str] = []
    before: Sequence[str] = []
    for number, stack in enumerate(stacks):
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, stack, strict=False)))
        lines += [f"{number}", *([f"    ({common} as before)"] if common else [])]
        lines += [f"    {frame}" for frame in stack[common:]]
        before = stack
    return "\n".join(lines)


def _sections(*sections: tuple[str, str]) -> str:
    return "\n\n".join(f"== {title}\n{body}" for title, body in sections) + "\n"


def _shapes(call: dict[str, Any]) -> str:
    sides = (
        ", ".join(f"{tensor['name']} {tensor['dtype']}{tensor['shape']}".strip() for tensor in call[side])
        for side in ("inputs", "outputs")
    )
    return " -> ".join(side or "-" for side in sides)


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.3f}"


def _yes(holds: bool) -> str:
    return "yes" if holds else "NO"


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).replace("%", "", 1).lstrip("-").isdigit()
