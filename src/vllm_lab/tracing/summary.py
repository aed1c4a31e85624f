"""Calls by class, the path through one layer, the most called."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

from vllm_lab.tracing.hooks import Call, Tensor

Key = TypeVar("Key", bound=Hashable)


def by_class(calls: Iterable[Call]) -> list[dict[str, Any]]:
    """A row for each class, the most called first: modules, calls, s in them and without those inside."""
    return [{"class": name, **row} for name, row in _grouped(calls, lambda call: call.class_name)]


def most_called(calls: Iterable[Call], count: int = 10) -> list[dict[str, Any]]:
    """The modules most called, layers taken together: model.layers.*.self_attn.attn."""
    rows = _grouped(calls, lambda call: (_any_layer(call.place), call.class_name))
    return [{"module": module, "class": name, **row} for (module, name), row in rows[:count]]


def layer_path(calls: Iterable[Call]) -> list[dict[str, Any]]:
    """The calls of the first layer there is, in order, in the first forward (the prompt's).

    Beside each the shapes of the same call in the last forward, where there is more than one.
    """
    inside = [call for call in calls if call.layer is not None]
    if not inside:
        return []
    layer = min(call.layer for call in inside if call.layer is not None)
    first, last = min(call.forward for call in inside), max(call.forward for call in inside)
    prefill, decode = (
        _in_turn(call for call in inside if (call.forward, call.layer) == (number, layer))
        for number in (first, last)
    )
    outermost = min(call.depth for call in prefill.values())
    return [
        {
            "module": call.place,
            "class": call.class_name,
            "depth": call.depth - outermost,
            "prefill": _shapes(call),
            "decode": _shapes(decode[turn]) if last > first and turn in decode else None,
        }
        for turn, call in prefill.items()
    ]


def call_list(calls: Iterable[Call]) -> tuple[list[dict[str, Any]], list[list[str]]]:
    """The calls as rows, and the call stacks that their key `stack` counts into."""
    stacks: dict[tuple, int] = {}
    rows = [
        {
            "forward": call.forward,
            "module": call.place,
            "class": call.class_name,
            "layer": call.layer,
            "depth": call.depth,
            **_shapes(call),
            "seconds": call.seconds,
            "self_seconds": call.self_seconds,
            "stack": stacks.setdefault(call.stack, len(stacks)),
        }
        for call in calls
    ]
    return rows, [[f"{file}:{line} {name}" for file, line, name in stack] for stack in stacks]


def _in_turn(calls: Iterable[Call]) -> dict[tuple[str, int], Call]:
    """(place, how often it had been called before) -> call, in order."""
    found: dict[tuple[str, int], Call] = {}
    seen: Counter[str] = Counter()
    for call in calls:
        found[call.place, seen[call.place]] = call
        seen[call.place] += 1
    return found


def _grouped(calls: Iterable[Call], key: Callable[[Call], Key]) -> list[tuple[Key, dict[str, Any]]]:
    groups: dict[Key, list[Call]] = defaultdict(list)
    for call in calls:
        groups[key(call)].append(call)
    rows = {
        name: {
            "modules": len({call.place for call in group}),
            "calls": len(group),
            "seconds": sum(call.seconds for call in group),
            "self_seconds": sum(call.self_seconds for call in group),
        }
        for name, group in groups.items()
    }
    return sorted(rows.items(), key=lambda item: (-item[1]["calls"], -item[1]["self_seconds"]))


def _any_layer(place: str) -> str:
    return re.sub(r"(^|\.)\d+(?=\.|$)", r"\1*", place)


def _shapes(call: Call) -> dict[str, Any]:
    return {"inputs": _tensors(call.inputs), "outputs": _tensors(call.outputs)}


def _tensors(tensors: Iterable[Tensor]) -> list[dict[str, Any]]:
    return [{**tensor._asdict(), "shape": list(tensor.shape)} for tensor in tensors]
