"""The real runs: every group several times, the held-out requests several times, one engine for all."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vllm_lab import console
from vllm_lab.calibration.workload import Workload
from vllm_lab.engine.engine import Engine
from vllm_lab.engine.measured import Measured
from vllm_lab.engine.replay import replay
from vllm_lab.engine.settings import EngineSettings
from vllm_lab.errors import LabError
from vllm_lab.oracle.engine import TracedRequest

QUIET = 0.2  # cores: a run that others left short of no more counts as undisturbed


@dataclass(frozen=True, eq=False)
class Run:
    """One repetition, and what the machine did beside it."""

    measured: list[Measured]  # of each group, or of the one held-out replay
    load_before: float  # 1-minute average of processes running or waiting, ours among them
    load_after: float
    other_cores: float  # used by others on average, of the cores that this process may use
    short_cores: float  # by how much they left fewer than it has threads

    @property
    def steps(self) -> int:
        """How many there were."""
        return sum(len(measured.steps) for measured in self.measured)

    @property
    def seconds(self) -> float:
        """Time spent in steps."""
        return sum(step.seconds for measured in self.measured for step in measured.steps)

    @property
    def quiet(self) -> bool:
        """Whether the run had as many cores as it has threads to itself."""
        return self.short_cores <= QUIET


@dataclass(frozen=True)
class Measurements:
    """All repetitions; those of a group have the same steps, since its requests all come at 0 s."""

    fitted: list[Run]
    heldout: list[Run]
    environment: dict[str, Any]


def used(runs: Sequence[Run]) -> list[Run]:
    """The quiet runs; all of them where fewer than two are, since nothing else is to be had."""
    quiet = [run for run in runs if run.quiet]
    return quiet if len(quiet) >= 2 else list(runs)


def measure(settings: EngineSettings, workload: Workload, repeats: int, retries: int) -> Measurements:
    """Start vLLM once and run everything `repeats` times, and up to `retries` times more while disturbed.

    The two sets take turns, as a machine's speed drifts over minutes. Unavailable where there is no vLLM.
    """
    sets = {"to fit to": workload.groups, "held out": [workload.heldout]}
    runs: dict[str, list[Run]] = {name: [] for name in sets}
    with Engine(settings) as engine:
        for _ in range(repeats + retries):
            for name, groups in sets.items():
                if sum(run.quiet for run in runs[name]) < repeats:
                    runs[name].append(_run(engine, groups))
                    _tell(name, runs[name])
        fitted, heldout = runs.values()
        _check(fitted)
        return Measurements(fitted, heldout, engine.environment())


def _tell(name: str, runs: Sequence[Run]) -> None:
    run = runs[-1]
    console.log(
        f"{name}, run {len(runs) - 1}: {run.seconds:.1f} s in {run.steps} steps, others used "
        f"{run.other_cores:.2f} cores, load {run.load_before:.2f} to {run.load_after:.2f}"
    )


def _run(engine: Engine, groups: Sequence[Sequence[TracedRequest]]) -> Run:
    load = os.getloadavg()[0]
    start, others = time.perf_counter(), _others_seconds()
    measured = [replay(engine, group) for group in groups]
    refused = [refusal for part in measured for refusal in part.refused]
    if refused:
        raise LabError(f"{refused[0].request_id} {refused[0].reason}; raise calibration.num_blocks")
    other_cores = max(0.0, (_others_seconds() - others) / (time.perf_counter() - start))
    threads = measured[0].environment["threads"] or 1  # on CUDA the process is one thread that waits
    spare = len(_cores()) - other_cores
    return Run(measured, load, os.getloadavg()[0], other_cores, max(0.0, threads - spare))


def _cores() -> list[int]:
    """The cores that this process may use."""
    import psutil  # vLLM brings it

    process = psutil.Process()
    return process.cpu_affinity() if hasattr(process, "cpu_affinity") else list(range(psutil.cpu_count()))


def _others_seconds() -> float:
    """Processor time (s) that others have used so far on these cores."""
    import psutil

    times = psutil.cpu_times(percpu=True)
    busy = sum(sum(times[core]) - times[core].idle - getattr(times[core], "iowait", 0.0) for core in _cores())
    own = psutil.Process().cpu_times()
    return busy - own.user - own.system


def _check(runs: Sequence[Run]) -> None:
    """Steps of the repetitions are matched by number: they must be the same steps."""
    first, *others = ([[step.step.scheduled for step in part.steps] for part in run.measured] for run in runs)
    if any(other != first for other in others):
        raise LabError(
            "vLLM scheduled the same requests differently in a repetition: steps cannot be matched"
        )
