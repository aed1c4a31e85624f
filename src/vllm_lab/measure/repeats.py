"""Runs repeated until they agree, and what other processes did to them (docs/measure.md)."""

import os
import time
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil
from typing import TypeVar

from vllm_lab.common import console, host
from vllm_lab.common.statistics import Summary

Result = TypeVar("Result")
QUIET = 0.2  # cores: a run that lacked no more than this counts as undisturbed


@dataclass(frozen=True)
class Disturbance:
    """The load, and other processes' use of the cores, during one run."""

    load_before: float  # 1-minute average of processes that run or wait, this one included
    load_after: float
    other_cores: float  # cores that others used on average, of those that this process may use
    short_cores: float  # cores that the run's threads lacked because of that

    @property
    def quiet(self) -> bool:
        """Whether the run had a core for each of its threads."""
        return self.short_cores <= QUIET


@dataclass(frozen=True)
class Reading:
    """What one run measured."""

    values: dict[str, float]  # metric -> value
    raw: dict[str, list[float]] = field(default_factory=dict)  # what the values were computed from


@dataclass(frozen=True)
class Run:
    """One repetition: its reading, its disturbance, and whether it counts."""

    values: dict[str, float]
    raw: dict[str, list[float]]
    disturbance: Disturbance
    used: bool = True

    def only(self, names: Container[str]) -> "Run":
        """The run with only these of its values."""
        return replace(self, values={name: value for name, value in self.values.items() if name in names})


@dataclass(frozen=True)
class Repeats:
    """How often a test runs: `least` times, and up to `most` times while its headline's runs disagree."""

    least: int
    most: int
    tolerance_pct: float  # how far each run may be from the mean

    def divided(self, parts: int) -> "Repeats":
        """The repeats of each of `parts` parts of a test, whose runs count together towards `most`."""
        return replace(self, most=max(self.least, ceil(self.most / parts)))

    def run(self, measure: Callable[[int], Reading], headline: str, threads: int) -> list[Run]:
        """Call `measure` with the run's number (from 0) until the runs agree; all runs.

        A call keeps `threads` threads busy.
        """
        runs: list[Run] = []
        for number in range(self.most):
            reading, disturbance = watched(partial(measure, number), threads)
            runs.append(Run(reading.values, reading.raw, disturbance))
            counts = used([run.disturbance for run in runs])
            runs = [replace(run, used=counting) for run, counting in zip(runs, counts, strict=True)]
            console.log(
                f"run {number}: {headline} {reading.values[headline]:.5g}, others used "
                f"{disturbance.other_cores:.2f} cores"
            )
            values = [run.values[headline] for run in runs if run.used]
            if len(values) >= self.least and Summary.of(values).agrees(self.tolerance_pct):
                break
        return runs


def watched(run: Callable[[], Result], threads: int) -> tuple[Result, Disturbance]:
    """What `run` returns, and how disturbed it was. `threads`: how many threads it keeps busy."""
    load = os.getloadavg()[0]
    start, others = time.perf_counter(), _others_seconds()
    result = run()
    other_cores = max(0.0, (_others_seconds() - others) / (time.perf_counter() - start))
    short = max(0.0, threads - (len(host.cores()) - other_cores))
    return result, Disturbance(load, os.getloadavg()[0], other_cores, short)


def used(disturbances: Sequence[Disturbance]) -> list[bool]:
    """Which runs count: the undisturbed ones, or all where fewer than two are undisturbed."""
    quiet = [disturbance.quiet for disturbance in disturbances]
    return quiet if sum(quiet) >= 2 else [True] * len(quiet)


def _others_seconds() -> float:
    """Processor time (s) on these cores that was not used by this process and its living children."""
    import psutil  # installed with vLLM

    times = psutil.cpu_times(percpu=True)
    allowed = [times[core] for core in host.cores()]
    busy = sum(sum(each) - each.idle - getattr(each, "iowait", 0.0) for each in allowed)
    process = psutil.Process()
    own = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return busy - sum(each.user + each.system for each in own)
