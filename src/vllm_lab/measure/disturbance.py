"""What the machine did beside a measurement, so that a disturbed run is told from a quiet one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")
QUIET = 0.2  # cores: a run that others left short of no more counts as undisturbed


@dataclass(frozen=True)
class Disturbance:
    """Load and other processes' use of the cores during one run."""

    load_before: float  # 1-minute average of processes running or waiting, ours among them
    load_after: float
    other_cores: float  # used by others on average, of the cores that this process may use
    short_cores: float  # by how much they left fewer than the run has threads

    @property
    def quiet(self) -> bool:
        """Whether the run had as many cores as it has threads to itself."""
        return self.short_cores <= QUIET


def watched(run: Callable[[], Result], threads: int) -> tuple[Result, Disturbance]:
    """What `run` returns, and how disturbed it was, if it keeps `threads` threads busy."""
    load = os.getloadavg()[0]
    start, others = time.perf_counter(), _others_seconds()
    result = run()
    other_cores = max(0.0, (_others_seconds() - others) / (time.perf_counter() - start))
    short = max(0.0, threads - (len(_cores()) - other_cores))
    return result, Disturbance(load, os.getloadavg()[0], other_cores, short)


def used(disturbances: Sequence[Disturbance]) -> list[bool]:
    """Which runs count: the quiet ones; all where fewer than two are, since nothing else is to be had."""
    quiet = [disturbance.quiet for disturbance in disturbances]
    return quiet if sum(quiet) >= 2 else [True] * len(quiet)


def _cores() -> list[int]:
    """The cores that this process may use."""
    import psutil  # vLLM brings it

    process = psutil.Process()
    return process.cpu_affinity() if hasattr(process, "cpu_affinity") else list(range(psutil.cpu_count()))


def _others_seconds() -> float:
    """Processor time (s) that others than this process and its living children have used on these cores."""
    import psutil

    times = psutil.cpu_times(percpu=True)
    busy = sum(sum(times[core]) - times[core].idle - getattr(times[core], "iowait", 0.0) for core in _cores())
    process = psutil.Process()
    own = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return busy - sum(one.user + one.system for one in own)
