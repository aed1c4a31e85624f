"""The real runs: every group several times, the held-out requests several times, one engine for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vllm_lab.common import console
from vllm_lab.common.errors import LabError
from vllm_lab.cost_model.workload import Workload
from vllm_lab.engines.engine import Engine
from vllm_lab.engines.measured import Measured
from vllm_lab.engines.replay import replay
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.measure import repeats as repeating
from vllm_lab.measure.repeats import Disturbance, watched
from vllm_lab.replay.requests import TracedRequest


@dataclass(frozen=True, eq=False)
class Run:
    """One repetition, and what the machine did beside it."""

    measured: list[Measured]  # of each group, or of the one held-out replay
    disturbance: Disturbance

    @property
    def steps(self) -> int:
        """How many there were."""
        return sum(len(measured.steps) for measured in self.measured)

    @property
    def seconds(self) -> float:
        """Time spent in steps."""
        return sum(step.seconds for measured in self.measured for step in measured.steps)


@dataclass(frozen=True)
class Measurements:
    """All repetitions; those of a group have the same steps, since its requests all come at 0 s."""

    fitted: list[Run]
    heldout: list[Run]
    environment: dict[str, Any]


def used(runs: Sequence[Run]) -> list[Run]:
    """The runs that count: see measure.repeats.used."""
    counts = repeating.used([run.disturbance for run in runs])
    return [run for run, counting in zip(runs, counts, strict=True) if counting]


def measure(settings: EngineSettings, workload: Workload, repeats: int, retries: int) -> Measurements:
    """Start vLLM once and run everything `repeats` times, and up to `retries` times more while disturbed.

    The two sets take turns, as a machine's speed drifts over minutes. Unavailable where there is no vLLM.
    """
    sets = {"to fit to": workload.groups, "held out": [workload.heldout]}
    runs: dict[str, list[Run]] = {name: [] for name in sets}
    with Engine(settings) as engine:
        for _ in range(repeats + retries):
            for name, groups in sets.items():
                if sum(run.disturbance.quiet for run in runs[name]) < repeats:
                    runs[name].append(_run(engine, groups))
                    _tell(name, runs[name])
        fitted, heldout = runs.values()
        _check(fitted)
        return Measurements(fitted, heldout, engine.environment())


def _tell(name: str, runs: Sequence[Run]) -> None:
    run = runs[-1]
    beside = run.disturbance
    console.log(
        f"{name}, run {len(runs) - 1}: {run.seconds:.1f} s in {run.steps} steps, others used "
        f"{beside.other_cores:.2f} cores, load {beside.load_before:.2f} to {beside.load_after:.2f}"
    )


def _run(engine: Engine, groups: Sequence[Sequence[TracedRequest]]) -> Run:
    threads = engine.environment()["threads"] or 1  # on CUDA the process is one thread that waits
    measured, beside = watched(lambda: [replay(engine, group) for group in groups], threads)
    refused = [refusal for part in measured for refusal in part.refused]
    if refused:
        raise LabError(f"{refused[0].request_id} {refused[0].reason}; raise calibration.num_blocks")
    return Run(measured, beside)


def _check(runs: Sequence[Run]) -> None:
    """Steps of the repetitions are matched by number: they must be the same steps."""
    first, *others = ([[step.step.scheduled for step in part.steps] for part in run.measured] for run in runs)
    if any(other != first for other in others):
        raise LabError(
            "vLLM scheduled the same requests differently in a repetition: steps cannot be matched"
        )
