"""The tools' documents as text."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

Row = Mapping[str, Any]


def layout(document: Row) -> str:
    """The text of any of the tools' documents."""
    tool = document["test_id"].removeprefix("tracing_")
    if document["status"] == "not_run":
        return f"{tool}: not run\n{document['reason']}\n"
    sections = {"simple": _simple, "detailed": _detailed, "kernels": _kernels}[tool](document)
    return "\n\n".join(f"== {title}\n{body}" for title, body in [_head(document), *sections]) + "\n"


def table(rows: Iterable[Row], *keys: str) -> str:
    """The rows' values for the keys, as a table. Each column has one width; numbers are right-aligned."""
    header, shown = zip(*(_COLUMNS.get(key, (key, str)) for key in keys), strict=True)
    body = [[show(row[key]) for key, show in zip(keys, shown, strict=True)] for row in rows]
    cells = list(zip(header, *body, strict=True))
    widths = [max(map(len, column)) for column in cells]
    numeric = [bool(body) and all(map(_is_number, column[1:])) for column in cells]

    def line(words: Sequence[str]) -> str:
        columns = zip(words, widths, numeric, strict=True)
        return "  ".join(f"{word:{'>' if right else '<'}{width}}" for word, width, right in columns).rstrip()

    return "\n".join([line(header), line(["-" * width for width in widths]), *map(line, body)])


def _simple(document: Row) -> list[tuple[str, str]]:
    """Counts, the path through the first layer, and the check."""
    path = [
        {**row, "module": row["module"].rpartition(".")[2] if row["depth"] else row["module"]}
        for row in document["path"]
    ]
    return [
        ("Calls by class", table(document["classes"], "class", "modules", "calls")),
        ("The first layer, in order of calls", table(_nested(path), "module", "class", "prefill", "decode")),
        *_check(document),
    ]


def _detailed(document: Row) -> list[tuple[str, str]]:
    """By class, the most called, then call by call, with the stacks at the end."""
    times = ("seconds", "self_seconds")
    most = [{**row, "module": row["module"] or "the model"} for row in document["most_called"]]
    calls = [
        {**row, "module": row["module"] or row["class"], "shapes": _shapes(row)} for row in document["calls"]
    ]
    return [
        ("Calls by class", table(document["classes"], "class", "modules", "calls", *times)),
        ("Most called", table(most, "module", "class", "calls", *times)),
        (
            f"Calls in order, {len(calls)} of {document['selected_calls']}",
            table(_nested(calls), "forward", "module", "class", "shapes", *times, "stack"),
        ),
        ("Call stacks, the innermost last", _stacks(document["stacks"])),
        *_check(document),
    ]


def _kernels(document: Row) -> list[tuple[str, str]]:
    """By class, then the kernels that took longest."""
    costs, rows = ("class", "calls", "seconds"), document["kernels"]
    return [
        (
            f"By class, by the names of vLLM {document['patterns_of']}",
            table(document["classes"], *costs, "share", "what"),
        ),
        (
            f"{document['counted']}, {len(rows)} of {_value(document, 'total_kernels'):.0f}, by time",
            table(rows, "name", *costs, "average_seconds", "share", "source"),
        ),
    ]


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
    kinds = [{**row, "expected": row["calls"]} for row in check["kinds"]]
    silent = [{**row, "why": row["reason"] or "not known"} for row in check["silent"]]
    return [
        (
            f"Calls in each forward, by {check['basis']}",
            table(kinds, "kind", "expected", "counted", "holds", "why"),
        ),
        ("Never called", table(silent, "module", "class", "why")),
        ("Findings", "\n".join(check["findings"]) or "none"),
    ]


def _nested(rows: Iterable[Row]) -> list[Row]:
    """The rows with their modules indented by depth."""
    return [{**row, "module": "  " * row["depth"] + row["module"]} for row in rows]


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


def _shapes(call: Row | None) -> str:
    """inputs -> outputs; a dash for what is not there."""
    if call is None:
        return "-"
    sides = (
        ", ".join(f"{tensor['name']} {tensor['dtype']}{tensor['shape']}".strip() for tensor in call[side])
        for side in ("inputs", "outputs")
    )
    return " -> ".join(side or "-" for side in sides)


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.3f}"


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).replace("%", "", 1).lstrip("-").isdigit()


_COLUMNS: dict[str, tuple[str, Callable[[Any], str]]] = {  # key -> its header, and how its values are shown
    "seconds": ("ms", _milliseconds),
    "self_seconds": ("own ms", _milliseconds),
    "average_seconds": ("us each", lambda seconds: f"{1e6 * seconds:.1f}"),
    "share": ("share", lambda share: f"{share:.1%}"),
    "name": ("name", lambda name: name[:100]),
    "source": ("source", lambda source: source or "-"),
    "prefill": ("prefill", _shapes),
    "decode": ("decode", _shapes),
    "counted": ("counted", lambda counts: " ".join(map(str, sorted(set(counts))))),
    "holds": ("holds", lambda holds: "yes" if holds else "NO"),
}
