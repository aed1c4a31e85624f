"""The calls of modules: traced by forward hooks, then listed by class, by module and along a layer.

A call has its shapes, dtypes, time, place and call stack.
"""

import functools
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

from vllm_lab.engines import engine as engine_module
from vllm_lab.engines.engine import Engine
from vllm_lab.tracing.modules import Called, hooked, kind_of, place_of

Frame = tuple[str, int, str]  # file as imports spell it, line, function


class Tensor(NamedTuple):
    """A tensor that a call received or returned."""

    name: str  # the keyword it was passed by, or ""
    dtype: str
    shape: tuple[int, ...]


@dataclass
class Call(Called):
    """One call of one module. The fields with a default are filled in when the call ends."""

    kind: str | None  # see modules.kind_of
    forward: int  # of the model, from 0
    depth: int  # calls around it
    inputs: list[Tensor]
    stack: tuple[Frame, ...]  # outermost first, from the engine's step on; empty unless asked for
    outputs: list[Tensor] = field(default_factory=list)
    seconds: float = 0.0  # without the hooks' own time
    self_seconds: float = 0.0  # without the calls inside


class Tracer:
    """Hooks for modules.hooked, and the calls that they saw, in the order in which these began."""

    def __init__(self, stacks: bool, synchronize: Callable[[], None]) -> None:
        self.calls: list[Call] = []
        self._forward = -1
        self._stacks = stacks
        self._synchronize = synchronize  # waits for the device, so that a call's time holds its kernels'
        self._open: list[tuple[Call, float, float]] = []  # with its start, and the hooks' time until then
        self._hooking = 0.0  # s that hooks have taken

    def before(self, name: str, module: Any, args: tuple, kwargs: dict[str, Any]) -> None:
        """Begin a call."""
        self._synchronize()
        entered = time.perf_counter()
        self._forward += name == ""
        place = place_of(name, self._open[-1][0].place if self._open else None)
        inputs = [*described(args), *described(kwargs)]
        stack = _stack() if self._stacks else ()
        kind, depth = kind_of(type(module)), len(self._open)
        call = Call(type(module).__name__, place, kind, self._forward, depth, inputs, stack)
        self.calls.append(call)
        start = time.perf_counter()
        self._hooking += start - entered
        self._open.append((call, start, self._hooking))

    def after(self, output: Any) -> None:
        """End the call that began last."""
        self._synchronize()
        end = time.perf_counter()
        call, start, hooking = self._open.pop()
        call.seconds = end - start - (self._hooking - hooking)
        call.self_seconds += call.seconds
        if self._open:
            self._open[-1][0].self_seconds -= call.seconds
        call.outputs = described(output)
        self._hooking += time.perf_counter() - end


@contextmanager
def traced(engine: Engine, stacks: bool = False) -> Iterator[Tracer]:
    """Trace every call of the engine's modules while the block runs, on request with the call stacks."""
    waits = stacks and engine.settings.device != "cpu"
    tracer = Tracer(stacks, engine.synchronize if waits else lambda: None)
    with hooked(engine.modules, tracer.before, tracer.after):
        yield tracer


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


def _stack() -> tuple[Frame, ...]:
    """The frames around the hook that asks, from the engine's step on, without torch's."""
    frames = []
    frame = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename != engine_module.__file__:
        frames.append(_frame(frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return tuple(found for found in reversed(frames) if not found[0].startswith("torch/"))


@functools.cache
def _frame(code: CodeType, line: int) -> Frame:
    _, installed, short = code.co_filename.rpartition("site-packages/")
    return short if installed else Path(code.co_filename).name, line, code.co_qualname


def by_class(calls: Iterable[Call]) -> list[dict[str, Any]]:
    """A row for each class, the most called first: modules, calls, seconds with and without inner calls."""
    return _grouped(calls, lambda call: {"class": call.class_name})


def most_called(calls: Iterable[Call], count: int = 10) -> list[dict[str, Any]]:
    """The modules most called, layers taken together: model.layers.*.self_attn.attn."""
    number = re.compile(r"(^|\.)\d+(?=\.|$)")
    return _grouped(calls, lambda call: {"module": number.sub(r"\1*", call.place), "class": call.class_name})[
        :count
    ]


def _grouped(calls: Iterable[Call], keys: Callable[[Call], dict[str, str]]) -> list[dict[str, Any]]:
    groups: dict[tuple, list[Call]] = defaultdict(list)
    for call in calls:
        groups[tuple(keys(call).items())].append(call)
    rows = [
        {
            **dict(key),
            "modules": len({call.place for call in group}),
            "calls": len(group),
            "seconds": sum(call.seconds for call in group),
            "self_seconds": sum(call.self_seconds for call in group),
        }
        for key, group in groups.items()
    ]
    return sorted(rows, key=lambda row: (-row["calls"], -row["self_seconds"]))


def layer_path(calls: Iterable[Call]) -> list[dict[str, Any]]:
    """The calls of the first layer, in order, in the first forward, which computes the prompt.

    Each row also has the shapes of the same call in the last forward, where there is more than one forward.
    """
    inside = [call for call in calls if call.layer is not None]
    if not inside:
        return []
    layer = min(call.layer for call in inside)
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


def _shapes(call: Call) -> dict[str, list[dict[str, Any]]]:
    sides = {"inputs": call.inputs, "outputs": call.outputs}
    return {
        side: [{**tensor._asdict(), "shape": list(tensor.shape)} for tensor in tensors]
        for side, tensors in sides.items()
    }
