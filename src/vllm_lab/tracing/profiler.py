"""PyTorch's profiler around a generation: kernels on CUDA, operators on the CPU, each with its class."""

from __future__ import annotations

import gzip
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vllm_lab.common.errors import Unavailable
from vllm_lab.common.files import atomic_path, write_text
from vllm_lab.engines.engine import Engine
from vllm_lab.tracing.kernels import table
from vllm_lab.tracing.modules import ALL, Selection, kind_of, layer_of, named, place_of, source_of


@dataclass(frozen=True)
class Origin:
    """What an operator or kernel does, where it comes from, and how that is known."""

    kernel_class: str  # a key of kernels.Table.classes
    source: str | None
    classified_by: str | None  # its name, or the module that called it


@dataclass(frozen=True)
class Scope:
    """A module at the place where it is called. In the trace, what it runs is inside its name."""

    class_name: str
    place: str  # dotted; see modules.place_of
    layer: int | None
    origin: Origin | None  # of operators whose own names say nothing

    @property
    def name(self) -> str:
        """The name of its calls in the trace."""
        return f"{self.class_name} {self.place}".rstrip()


@dataclass(frozen=True)
class Row:
    """All calls of one kernel, or of one operator from one origin."""

    name: str
    origin: Origin
    calls: int
    seconds: float  # of a kernel on the device; of an operator without those inside


UNKNOWN = Origin("other", None, None)


class Profile:
    """What the profiler saw. It is complete when its block has ended."""

    def __init__(self, profiler: Any, on_device: bool, scopes: dict[str, Scope]) -> None:
        self._profiler = profiler
        self._on_device = on_device
        self._scopes = scopes  # by name

    def rows(self, selection: Selection = ALL) -> list[Row]:
        """Kernels, or operators where no device was watched; the longest first.

        Of a selection, those that its modules ran. LabError as in Selection.of. Unavailable where the
        profiler saw nothing: it needs CUPTI to see a GPU's kernels.
        """
        within = None
        if selection != ALL:
            within = {scope.name for scope in selection.of(self._scopes.values())}
        microseconds: dict[tuple[str, Origin], list[float]] = defaultdict(list)
        for name, origin, duration in self._kernels(within) if self._on_device else self._operators(within):
            microseconds[name, origin].append(duration)
        rows = [
            Row(name, origin, len(durations), sum(durations) / 1e6)
            for (name, origin), durations in microseconds.items()
        ]
        if not rows:
            raise Unavailable(
                "PyTorch's profiler saw no kernel; CUPTI is missing, or this user may not profile the GPU "
                "(NVreg_RestrictProfilingToAdminUsers)"
            )
        return sorted(rows, key=lambda row: (-row.seconds, row.name))

    def write(self, report: Path, chrome_trace: Path) -> None:
        """PyTorch's whole table as text, and the trace for chrome://tracing or Perfetto, gzipped."""
        by = "self_device_time_total" if self._on_device else "self_cpu_time_total"
        whole = self._profiler.key_averages().table(sort_by=by, row_limit=-1, max_name_column_width=100)
        write_text(report, whole)
        with tempfile.TemporaryDirectory() as folder:
            plain = Path(folder, "trace.json")
            self._profiler.export_chrome_trace(str(plain))
            write_gzip(chrome_trace, plain.read_bytes())

    def _operators(self, within: Set[str] | None) -> Iterator[tuple[str, Origin, float]]:
        for event in self._profiler.events():
            if not event.is_user_annotation and _is_within(event, within):
                yield event.name, self._of_operator(event), event.self_cpu_time_total

    def _kernels(self, within: Set[str] | None) -> Iterator[tuple[str, Origin, float]]:
        """Of a kernel that a CUDA graph replays, no operator is known: only its name says what it is."""
        from torch.autograd import DeviceType

        launched: dict[str, Counter[Origin]] = defaultdict(Counter)
        events = self._profiler.events()
        for event in events:
            for kernel in event.kernels:
                origin = self._of_operator(event)
                launched[kernel.name][origin] += 1
                if within is not None and _is_within(event, within):
                    yield kernel.name, _of_name(kernel.name) or origin, kernel.duration
        if within is not None:
            return  # a kernel without a known launch belongs to no module
        for event in events:
            if event.device_type != DeviceType.CPU and not event.is_user_annotation:
                usual = launched[event.name].most_common(1)
                origin = _of_name(event.name) or (usual[0][0] if usual else UNKNOWN)
                yield event.name, origin, event.time_range.elapsed_us()

    def _of_operator(self, event: Any) -> Origin:
        """The origin of the operator, or of the nearest operator or module around it that has one."""
        for around in _outwards(event):
            scope = self._scopes.get(around.name)
            origin = scope.origin if scope else _of_name(around.name)
            if origin:
                return origin
        return UNKNOWN


def _is_within(event: Any, names: Set[str] | None) -> bool:
    """Whether an event, or one around it, has one of the names. Without names every event fits."""
    return names is None or any(around.name in names for around in _outwards(event))


def _outwards(event: Any) -> Iterator[Any]:
    """The event, then each event around it."""
    while event is not None:
        yield event
        event = event.cpu_parent


def _of_name(name: str) -> Origin | None:
    found = table().origin(name)
    return Origin(found.kernel_class, found.source, "name") if found else None


def kernel_list(rows: Sequence[Row], limit: int) -> list[dict[str, Any]]:
    """The first `limit` rows as a document lists them. A share is of the seconds of all rows."""
    total = sum(row.seconds for row in rows)
    return [
        {
            "name": row.name,
            "class": row.origin.kernel_class,
            "source": row.origin.source,
            "classified_by": row.origin.classified_by,
            "calls": row.calls,
            "seconds": row.seconds,
            "average_seconds": row.seconds / row.calls,
            "share": row.seconds / total,
        }
        for row in rows[:limit]
    ]


def kernel_classes(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A row for each class, the one that took longest first: kernels, calls, seconds, share, sources."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.origin.kernel_class].append(row)
    total = sum(row.seconds for row in rows)
    found = [
        {
            "class": name,
            "what": table().classes[name],
            "kernels": len(group),
            "calls": sum(row.calls for row in group),
            "seconds": (seconds := sum(row.seconds for row in group)),
            "share": seconds / total,
            "sources": sorted({row.origin.source for row in group if row.origin.source}),
        }
        for name, group in groups.items()
    ]
    return sorted(found, key=lambda row: -row["seconds"])


@contextmanager
def profiled(engine: Engine) -> Iterator[Profile]:
    """Watch while the block runs. Modules are annotated in eager mode; a compiled graph has no modules."""
    from torch.profiler import ProfilerActivity, profile

    on_device = engine.settings.device == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_device else [])]
    roots = engine.modules if engine.settings.enforce_eager else {}
    with _annotated(roots) as scopes, profile(activities=activities) as profiler:
        yield Profile(profiler, on_device, scopes)


@contextmanager
def _annotated(roots: dict[str, Any]) -> Iterator[dict[str, Scope]]:
    """Name every module's calls in the trace; yield the scopes, which fill as the modules are called."""
    from torch.profiler import record_function

    scopes: dict[str, Scope] = {}
    opened: list[tuple[Scope, Any]] = []
    handles = []
    for name, module in named(roots).items():
        kernel_class = table().modules.get(kind_of(module) or "")
        origin = Origin(kernel_class, source_of(module), "module") if kernel_class else None

        def enter(module: Any, _: Any, name: str = name, origin: Origin | None = origin) -> None:
            place = place_of(name, opened[-1][0].place if opened else None)
            scope = Scope(type(module).__name__, place, layer_of(place), origin)
            scopes[scope.name] = scope
            opened.append((scope, record_function(scope.name)))
            opened[-1][1].__enter__()

        def leave(*_: Any) -> None:
            opened.pop()[1].__exit__(None, None, None)

        handles += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    try:
        yield scopes
    finally:
        for handle in handles:
            handle.remove()


def write_gzip(path: Path, content: bytes) -> None:
    """Write `content` packed, whole or not at all."""
    with atomic_path(path) as partial:
        partial.write_bytes(gzip.compress(content))
