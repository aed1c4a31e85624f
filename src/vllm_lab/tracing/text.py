"""The tools' documents as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

Row = Mapping[str, Any]
Column = str | Callable[[Row], object]  # a key of the row, or a function of it


def simple(document: Row) -> str:
    """Counts, the path through the first layer, and the check."""
    path = {
        "module": lambda row: _indented(
            row, row["module"].rpartition(".")[2] if row["depth"] else row["module"]
        ),
        "class": "class",
        "prefill": lambda row: _shapes(row["prefill"]),
        "decode": lambda row: _shapes(row["decode"]) if row["decode"] else "-",
    }
    classes = {name: name for name in ("class", "modules", "calls")}
    return _sections(
        _head(document),
        ("Calls by class", table(classes, document["classes"])),
        ("The first layer, in order of calls", table(path, document["path"])),
        *_check(document),
    )


def detailed(document: Row) -> str:
    """By class, the most called, then call by call, with the stacks at the end."""
    times = {"ms": _milliseconds("seconds"), "own ms": _milliseconds("self_seconds")}
    classes = {"class": "class", "modules": "modules", "calls": "calls", **times}
    most = {"module": lambda row: row["module"] or "the model", "class": "class", "calls": "calls", **times}
    calls = {
        "forward": "forward",
        "module": lambda row: _indented(row, row["module"] or row["class"]),
        "class": "class",
        "shapes": _shapes,
        **times,
        "stack": "stack",
    }
    shown = f"Calls in order, {len(document['calls'])} of {document['selected_calls']}"
    return _sections(
        _head(document),
        ("Calls by class", table(classes, document["classes"])),
        ("Most called", table(most, document["most_called"])),
        (shown, table(calls, document["calls"])),
        ("Call stacks, the innermost last", _stacks(document["stacks"])),
        *_check(document),
    )


def kernels(document: Row) -> str:
    """By class, then the kernels that took longest."""
    costs = {"calls": "calls", "ms": _milliseconds("seconds")}
    share = {"share": lambda row: f"{row['share']:.1%}"}
    longest = {
        "name": lambda row: row["name"][:100],
        "class": "class",
        **costs,
        "us each": lambda row: f"{1e6 * row['average_seconds']:.1f}",
        **share,
        "source": lambda row: row["source"] or "-",
    }
    classes = {"class": "class", **costs, **share, "what": "what"}
    total = int(_value(document, "total_kernels"))
    shown = f"{document['counted']}, {len(document['kernels'])} of {total}, by time"
    return _sections(
        _head(document),
        (f"By class, by the names of vLLM {document['patterns_of']}", table(classes, document["classes"])),
        (shown, table(longest, document["kernels"])),
    )


def layout(document: Row) -> str:
    """The text of any of the tools' documents."""
    tool = document["test_id"].removeprefix("tracing_")
    if document["status"] == "not_run":
        return f"{tool}: not run\n{document['reason']}\n"
    return {"simple": simple, "detailed": detailed, "kernels": kernels}[tool](document)


def table(columns: Mapping[str, Column], rows: Iterable[Row]) -> str:
    """A table as text: header -> column. Each column has one width, and numbers are right-aligned."""
    body = [
        [str(row[column] if isinstance(column, str) else column(row)) for column in columns.values()]
        for row in rows
    ]
    cells = list(zip(columns, *body, strict=True))
    widths = [max(map(len, column)) for column in cells]
    numeric = [bool(body) and all(map(_is_number, column[1:])) for column in cells]

    def line(words: Sequence[str]) -> str:
        columns = zip(words, widths, numeric, strict=True)
        return "  ".join(f"{word:{'>' if right else '<'}{width}}" for word, width, right in columns).rstrip()

    return "\n".join([line(list(columns)), line(["-" * width for width in widths]), *map(line, body)])


def _head(document: Row) -> tuple[str, str]:
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


def _value(document: Row, metric: str) -> float:
    return document["results"][metric]["value"]


def _check(document: Row) -> list[tuple[str, str]]:
    check = document["check"]
    kinds = {
        "kind": "kind",
        "expected": "calls",
        "counted": lambda row: " ".join(map(str, sorted(set(row["counted"])))),
        "holds": lambda row: "yes" if row["holds"] else "NO",
        "why": "why",
    }
    silent = {"module": "module", "class": "class", "why": lambda row: row["reason"] or "not known"}
    return [
        (f"Calls in each forward, by {check['basis']}", table(kinds, check["kinds"])),
        ("Never called", table(silent, check["silent"])),
        ("Findings", "\n".join(check["findings"]) or "none"),
    ]


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


def _indented(row: Row, text: str) -> str:
    return "  " * row["depth"] + text


def _shapes(call: Row) -> str:
    sides = (
        ", ".join(f"{tensor['name']} {tensor['dtype']}{tensor['shape']}".strip() for tensor in call[side])
        for side in ("inputs", "outputs")
    )
    return " -> ".join(side or "-" for side in sides)


def _milliseconds(key: str) -> Column:
    return lambda row: f"{1000 * row[key]:.3f}"


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).replace("%", "", 1).lstrip("-").isdigit()
