"""The calls of modules: traced by forward hooks, then listed by class, by module and along a layer.

A call has its shapes, dtypes, time, place and call stack.
"""

from __future__ import annotations

import functools
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from vllm_lab.engines import engine as engine_module
from vllm_lab.engines.engine import Engine
from vllm_lab.tracing.modules import kind_of, layer_of, named, place_of

Key = TypeVar("Key", bound=Hashable)
Frame = tuple[str, int, str]  # file as imports spell it, line, function


class Tensor(NamedTuple):
    """A tensor that a call received or returned."""

    name: str  # the keyword it was passed by, or ""
    dtype: str
    shape: tuple[int, ...]


@dataclass(slots=True)
class Call:
    """One call of one module. The fields with a default are filled in when the call ends."""

    forward: int  # of the model, from 0
    place: str  # dotted; of a shared module, where it was called from
    class_name: str
    kind: str | None  # see modules.kind_of
    layer: int | None
    depth: int  # calls around it
    inputs: list[Tensor]
    stack: tuple[Frame, ...]  # outermost first, from the engine's step on; empty unless asked for
    outputs: list[Tensor] = field(default_factory=list)
    seconds: float = 0.0  # without the hooks' own time
    self_seconds: float = 0.0  # without the calls inside


class Tracer:
    """The calls of the modules below `roots`, in the order in which they began."""

    def __init__(self, roots: Mapping[str, Any], stacks: bool, synchronize: Callable[[], None]) -> None:
        self.calls: list[Call] = []
        self.forwards = 0
        self._stacks = stacks
        self._synchronize = synchronize  # waits for the device, so that a call's time holds its kernels'
        self._open: list[tuple[Call, float, float]] = []  # with its start, and the hooks' time until then
        self._hooking = 0.0  # s that hooks have taken
        self._frames: dict[tuple[Any, int], Frame] = {}
        self._handles = [
            handle for name, module in named(roots).items() for handle in self._hook(name, module)
        ]

    def remove(self) -> None:
        """Take every hook off again."""
        for handle in self._handles:
            handle.remove()

    def _hook(self, name: str, module: Any) -> list[Any]:
        class_name, kind = type(module).__name__, kind_of(module)

        def before(_: Any, args: tuple, kwargs: dict[str, Any]) -> None:
            self._synchronize()
            entered = time.perf_counter()
            if name == "":
                self.forwards += 1
            place = place_of(name, self._open[-1][0].place if self._open else None)
            inputs = [*described(args), *described(kwargs)]
            stack = self._stack() if self._stacks else ()
            forward, layer, depth = self.forwards - 1, layer_of(place), len(self._open)
            call = Call(forward, place, class_name, kind, layer, depth, inputs, stack)
            self.calls.append(call)
            start = time.perf_counter()
            self._hooking += start - entered
            self._open.append((call, start, self._hooking))

        def after(_: Any, args: tuple, kwargs: dict[str, Any], output: Any) -> None:
            self._synchronize()
            end = time.perf_counter()
            call, start, hooking = self._open.pop()
            call.seconds = end - start - (self._hooking - hooking)
            call.self_seconds += call.seconds
            if self._open:
                self._open[-1][0].self_seconds -= call.seconds
            call.outputs = described(output)
            self._hooking += time.perf_counter() - end

        return [
            module.register_forward_pre_hook(before, with_kwargs=True),
            module.register_forward_hook(after, with_kwargs=True),
        ]

    def _stack(self) -> tuple[Frame, ...]:
        frames = []
        frame = sys._getframe(2)
        while frame is not None and frame.f_code.co_filename != engine_module.__file__:
            key = (frame.f_code, frame.f_lineno)
            if key not in self._frames:
                self._frames[key] = (_short(key[0].co_filename), key[1], key[0].co_qualname)
            frames.append(self._frames[key])
            frame = frame.f_back
        return tuple(found for found in reversed(frames) if not found[0].startswith("torch/"))


@contextmanager
def traced(engine: Engine, stacks: bool = False) -> Iterator[Tracer]:
    """Every call of the engine's modules while the block runs; the hooks are gone after it."""
    waits = stacks and engine.settings.device != "cpu"
    tracer = Tracer(engine.modules, stacks, engine.synchronize if waits else lambda: None)
    try:
        yield tracer
    finally:
        tracer.remove()


def described(value: Any, name: str = "") -> list[Tensor]:
    """The tensors in a value, those inside of sequences and mappings too."""
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return [Tensor(name, _dtype(value.dtype), tuple(value.shape))]
    if isinstance(value, Mapping):
        return [tensor for key, item in value.items() for tensor in described(item, str(key))]
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in described(item, name)]
    return []


@functools.cache
def _dtype(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def _short(file: str) -> str:
    _, installed, short = file.rpartition("site-packages/")
    return short if installed else Path(file).name


def by_class(calls: Iterable[Call]) -> list[dict[str, Any]]:
    """A row for each class, the most called first: modules, calls, seconds with and without inner calls."""
    return [{"class": name, **row} for name, row in _grouped(calls, lambda call: call.class_name)]


def most_called(calls: Iterable[Call], count: int = 10) -> list[dict[str, Any]]:
    """The modules most called, layers taken together: model.layers.*.self_attn.attn."""
    number = re.compile(r"(^|\.)\d+(?=\.|$)")
    rows = _grouped(calls, lambda call: (number.sub(r"\1*", call.place), call.class_name))
    return [{"module": module, "class": name, **row} for (module, name), row in rows[:count]]


def layer_path(calls: Iterable[Call]) -> list[dict[str, Any]]:
    """The calls of the first layer, in order, in the first forward, which computes the prompt.

    Each row also has the shapes of the same call in the last forward, where there is more than one forward.
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


def _shapes(call: Call) -> dict[str, list[dict[str, Any]]]:
    sides = {"inputs": call.inputs, "outputs": call.outputs}
    return {
        side: [{**tensor._asdict(), "shape": list(tensor.shape)} for tensor in tensors]
        for side, tensors in sides.items()
    }
