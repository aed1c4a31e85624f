"""PyTorch's profiler around a generation: kernels on CUDA, operators on the CPU, each with its class."""

from __future__ import annotations

import gzip
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vllm_lab.engine.engine import Engine
from vllm_lab.errors import Unavailable
from vllm_lab.files import atomic_path, write_text
from vllm_lab.tracing.kernels import table
from vllm_lab.tracing.modules import kind_of, named, source_of


@dataclass(frozen=True)
class Origin:
    """What an operator or kernel does, where it comes from, and what told so."""

    kernel_class: str  # a key of kernels.Table.classes
    source: str | None
    told_by: str | None  # name, or module: the one that called it


@dataclass(frozen=True)
class Row:
    """All calls of one kernel, or of one operator from one origin."""

    name: str
    origin: Origin
    calls: int
    seconds: float  # of a kernel on the device; of an operator without those inside


UNKNOWN = Origin("other", None, None)


class Profile:
    """What the profiler saw; whole once its block has ended."""

    def __init__(self, profiler: Any, on_device: bool, scopes: dict[str, Origin]) -> None:
        self._profiler = profiler
        self._on_device = on_device
        self._scopes = scopes  # names of the modules' annotations

    def rows(self) -> list[Row]:
        """Kernels, or where no device was watched operators; those that took longest first.

        Unavailable where the profiler saw none: it needs CUPTI to see a GPU's.
        """
        microseconds: dict[tuple[str, Origin], list[float]] = defaultdict(list)
        for name, origin, duration in self._kernels() if self._on_device else self._operators():
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

    def _operators(self) -> Iterator[tuple[str, Origin, float]]:
        for event in self._profiler.events():
            if not event.is_user_annotation:
                yield event.name, self._of_operator(event), event.self_cpu_time_total

    def _kernels(self) -> Iterator[tuple[str, Origin, float]]:
        """Those that a CUDA graph replays have no operator that launched them: their names must tell."""
        from torch.autograd import DeviceType

        launched: dict[str, Counter[Origin]] = defaultdict(Counter)
        events = self._profiler.events()
        for event in events:
            for kernel in event.kernels:
                launched[kernel.name][self._of_operator(event)] += 1
        for event in events:
            if event.device_type != DeviceType.CPU and not event.is_user_annotation:
                usual = launched[event.name].most_common(1)
                origin = _of_name(event.name) or (usual[0][0] if usual else UNKNOWN)
                yield event.name, origin, event.time_range.elapsed_us()

    def _of_operator(self, event: Any) -> Origin:
        """Of the operator, or the nearest operator or module around it, that tells."""
        around = event
        while around is not None:
            origin = self._scopes.get(around.name) or _of_name(around.name)
            if origin:
                return origin
            around = around.cpu_parent
        return UNKNOWN


def _of_name(name: str) -> Origin | None:
    found = table().origin(name)
    return Origin(found.kernel_class, found.source, "name") if found else None


@contextmanager
def profiled(engine: Engine) -> Iterator[Profile]:
    """Watch while the block runs. Modules are annotated where they run as such: not in compiled graphs."""
    from torch.profiler import ProfilerActivity, profile

    on_device = engine.settings.device == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_device else [])]
    roots = engine.modules if engine.settings.enforce_eager else {}
    with _annotated(roots) as scopes, profile(activities=activities) as profiler:
        yield Profile(profiler, on_device, scopes)


@contextmanager
def _annotated(roots: dict[str, Any]) -> Iterator[dict[str, Origin]]:
    """Name every module's calls in the trace; the names of those whose kind has a class."""
    from torch.profiler import record_function

    scopes: dict[str, Origin] = {}
    opened: list[Any] = []
    handles = []
    for name, module in named(roots).items():
        scope = f"{type(module).__name__} {name}".rstrip()
        kernel_class = table().modules.get(kind_of(module) or "")
        if kernel_class:
            scopes[scope] = Origin(kernel_class, source_of(module), "module")

        def enter(*_: Any, scope: str = scope) -> None:
            opened.append(record_function(scope))
            opened[-1].__enter__()

        def leave(*_: Any) -> None:
            opened.pop().__exit__(None, None, None)

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
