"""Kernels on CUDA, operators on a CPU: what each does, by its name, and which ran, by PyTorch's profiler."""

import functools
import gzip
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from vllm_lab.common.errors import Unavailable
from vllm_lab.common.files import atomic_path, write_text
from vllm_lab.tracing.modules import ALL, Called, Selection, hooked, kind_of, place_of


class Origin(NamedTuple):
    """What an operator or kernel does, where it comes from, and how that is known."""

    kernel_class: str  # a key of Table.classes
    source: str | None  # a file of vLLM's repository, or another project
    classified_by: str | None  # its name, or the module that called it


UNKNOWN = Origin("other", None, None)


@dataclass(frozen=True)
class Table:
    """kernels.yaml, whose head explains its keys."""

    version: str  # of vLLM, whose sources were read
    classes: dict[str, str]  # name -> what it is
    modules: dict[str, str]  # kind of module (modules.kind_of) -> class of calls whose names say nothing
    kernels: list[tuple[re.Pattern[str], Origin]]

    def origin(self, name: str) -> Origin | None:
        """The origin of the first pattern that is found in a kernel's name; None where no pattern is."""
        return next((origin for pattern, origin in self.kernels if pattern.search(name)), None)


@functools.cache
def table() -> Table:
    """The table of kernels.yaml."""
    given = yaml.safe_load(Path(__file__).with_name("kernels.yaml").read_text(encoding="utf-8"))
    rows = given.pop("kernels")
    origins = [(re.compile(row["kernel"]), Origin(row["class"], row["source"], "name")) for row in rows]
    return Table(**given, kernels=origins)


@dataclass
class Scope(Called):
    """A module that was called. In the trace, what it runs is inside its name."""

    origin: Origin | None  # of operators whose own names say nothing

    @property
    def name(self) -> str:
        """The name of its calls in the trace."""
        return f"{self.class_name} {self.place}".rstrip()


@dataclass(frozen=True)
class Profile:
    """What the profiler saw. It is complete when its block has ended."""

    profiler: Any
    on_device: bool
    scopes: Mapping[str, Scope]  # by name

    def rows(self, selection: Selection = ALL) -> list[dict[str, Any]]:
        """Kernels, or operators where no device was watched, as a document lists them; the longest first.

        `seconds` of a kernel are on the device; those of an operator do not include the operators inside it.
        With a selection, only what its modules ran; a share is of the seconds of all rows. LabError as in
        Selection.of. Unavailable where the profiler saw nothing: it needs CUPTI to see a GPU's kernels.
        """
        within = None
        if selection != ALL:
            within = {scope.name for scope in selection.of(self.scopes.values())}
        durations: dict[tuple[str, Origin], list[float]] = defaultdict(list)  # µs
        for name, origin, duration in self._kernels(within) if self.on_device else self._operators(within):
            durations[name, origin].append(duration)
        if not durations:
            raise Unavailable(
                "PyTorch's profiler saw no kernel; CUPTI is missing, or this user may not profile the GPU "
                "(NVreg_RestrictProfilingToAdminUsers)"
            )
        total = sum(map(sum, durations.values()))
        rows = [
            {
                "name": name,
                "class": origin.kernel_class,
                "source": origin.source,
                "classified_by": origin.classified_by,
                "calls": len(each),
                "seconds": sum(each) / 1e6,
                "average_seconds": sum(each) / 1e6 / len(each),
                "share": sum(each) / total,
            }
            for (name, origin), each in durations.items()
        ]
        return sorted(rows, key=lambda row: (-row["seconds"], row["name"]))

    def write(self, report: Path, chrome_trace: Path) -> None:
        """PyTorch's whole table as text, and the trace for chrome://tracing or Perfetto, gzipped."""
        by = "self_device_time_total" if self.on_device else "self_cpu_time_total"
        whole = self.profiler.key_averages().table(sort_by=by, row_limit=-1, max_name_column_width=100)
        write_text(report, whole)
        with tempfile.TemporaryDirectory() as folder:
            plain = Path(folder, "trace.json")
            self.profiler.export_chrome_trace(str(plain))
            write_gzip(chrome_trace, plain.read_bytes())

    def _operators(self, within: Set[str] | None) -> Iterator[tuple[str, Origin, float]]:
        for event in self.profiler.events():
            if not event.is_user_annotation and _is_within(event, within):
                yield event.name, self._of_operator(event), event.self_cpu_time_total

    def _kernels(self, within: Set[str] | None) -> Iterator[tuple[str, Origin, float]]:
        """Of a kernel that a CUDA graph replays, no operator is known: only its name says what it is."""
        from torch.autograd import DeviceType

        launched: dict[str, Counter[Origin]] = defaultdict(Counter)
        events = self.profiler.events()
        for event in events:
            for kernel in event.kernels:
                origin = self._of_operator(event)
                launched[kernel.name][origin] += 1
                if within is not None and _is_within(event, within):
                    yield kernel.name, table().origin(kernel.name) or origin, kernel.duration
        if within is not None:
            return  # a kernel without a known launch belongs to no module
        for event in events:
            if event.device_type != DeviceType.CPU and not event.is_user_annotation:
                usual = launched[event.name].most_common(1)
                origin = table().origin(event.name) or (usual[0][0] if usual else UNKNOWN)
                yield event.name, origin, event.time_range.elapsed_us()

    def _of_operator(self, event: Any) -> Origin:
        """The origin of the operator, or of the nearest operator or module around it that has one."""
        for around in _outwards(event):
            scope = self.scopes.get(around.name)
            origin = scope.origin if scope else table().origin(around.name)
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


def kernel_classes(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each class of Profile.rows, the one that took longest first."""
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["class"]].append(row)
    total = sum(row["seconds"] for row in rows)
    found = [
        {
            "class": name,
            "what": table().classes[name],
            "kernels": len(group),
            "calls": sum(row["calls"] for row in group),
            "seconds": (seconds := sum(row["seconds"] for row in group)),
            "share": seconds / total,
            "sources": sorted({row["source"] for row in group if row["source"]}),
        }
        for name, group in groups.items()
    ]
    return sorted(found, key=lambda row: -row["seconds"])


@contextmanager
def profiled(roots: Mapping[str, Any], on_device: bool) -> Iterator[Profile]:
    """Watch while the block runs. The calls of the modules below the roots have names in the trace."""
    from torch.profiler import ProfilerActivity, profile, record_function

    scopes: dict[str, Scope] = {}
    opened: list[tuple[Scope, Any]] = []

    def before(name: str, module: Any, *_: Any) -> None:
        place = place_of(name, opened[-1][0].place if opened else None)
        scope = Scope(type(module).__name__, place, _of_module(type(module)))
        scopes[scope.name] = scope
        opened.append((scope, record_function(scope.name)))
        opened[-1][1].__enter__()

    def after(_: Any) -> None:
        opened.pop()[1].__exit__(None, None, None)

    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_device else [])]
    with hooked(roots, before, after), profile(activities=activities) as profiler:
        yield Profile(profiler, on_device, scopes)


@functools.cache
def _of_module(module_class: type) -> Origin | None:
    """The origin of what a module runs, with the file that defines its class, as imports spell it."""
    kernel_class = table().modules.get(kind_of(module_class) or "")
    source = f"{module_class.__module__.replace('.', '/')}.py"
    return Origin(kernel_class, source, "module") if kernel_class else None


def write_gzip(path: Path, content: bytes) -> None:
    """Write `content` packed, whole or not at all."""
    with atomic_path(path) as partial:
        partial.write_bytes(gzip.compress(content))
