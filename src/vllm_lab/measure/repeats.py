"""Runs repeated until they agree."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, field, replace
from math import ceil

from vllm_lab.common import console
from vllm_lab.common.statistics import Summary
from vllm_lab.measure.disturbance import Disturbance, used, watched


@dataclass(frozen=True)
class Measured:
    """What one run gave."""

    values: dict[str, float]  # metric -> value
    raw: dict[str, list[float]] = field(default_factory=dict)  # what the values were computed from


@dataclass(frozen=True)
class Run:
    """One repetition, what the machine did beside it, and whether it counts."""

    values: dict[str, float]
    raw: dict[str, list[float]]
    disturbance: Disturbance
    used: bool = True

    def of(self, names: Container[str]) -> Run:
        """The run with these values alone."""
        return replace(self, values={name: value for name, value in self.values.items() if name in names})


@dataclass(frozen=True)
class Repeats:
    """How often a test is run: `least` times, and up to `most` while its headline's runs are apart."""

    least: int
    most: int
    tolerance_pct: float  # how far each run may be from the mean

    def divided(self, parts: int) -> Repeats:
        """The repeats of each of so many parts of a test, whose runs count together towards `most`."""
        return replace(self, most=max(self.least, ceil(self.most / parts)))

    def run(self, measure: Callable[[], Measured], headline: str, threads: int) -> list[Run]:
        """All runs; those that others disturbed do not count where two quiet ones are."""
        runs: list[Run] = []
        while len(runs) < self.most:
            measured, disturbance = watched(measure, threads)
            runs.append(Run(measured.values, measured.raw, disturbance))
            counts = used([run.disturbance for run in runs])
            runs = [replace(run, used=counting) for run, counting in zip(runs, counts, strict=True)]
            values = [run.values[headline] for run in runs if run.used]
            console.log(
                f"run {len(runs) - 1}: {headline} {measured.values[headline]:.5g}, others used "
                f"{disturbance.other_cores:.2f} cores"
            )
            if len(values) >= self.least and Summary.of(values).agrees(self.tolerance_pct):
                break
        return runs
