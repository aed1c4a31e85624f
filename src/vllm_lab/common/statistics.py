"""Statistics: a sample with percentiles, and what repeated runs say together.

`Distribution` is a sample in which values repeat. `Summary` describes one metric over repeated runs: mean,
Student's confidence interval, variation and spread.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, Self

import numpy as np

TOLERANCE_PCT = 5.0  # of a measured result's runs, unless the configuration gives another
CONFIDENCE = 0.95


@dataclass(frozen=True, eq=False)
class Distribution:
    """A sample of V distinct values, each with the number of its occurrences.

    Percentiles are numpy's default: linear between the two nearest ranks of the written-out sample. Sums are
    exact (math.fsum), so that the results do not depend on the machine's vector width.
    """

    values: np.ndarray  # float64 [V], ascending
    counts: np.ndarray  # int64 [V], >= 1

    @classmethod
    def of(cls, values: np.ndarray, counts: np.ndarray | None = None) -> Self:
        """From values in any order, repeated or not; counts: int [n], 1 each if absent, 0 leaves it out."""
        values = np.asarray(values, dtype=np.float64)
        counts = np.ones(len(values), np.int64) if counts is None else np.asarray(counts, dtype=np.int64)
        distinct, which = np.unique(values, return_inverse=True)
        total = np.zeros(len(distinct), dtype=np.int64)
        np.add.at(total, which, counts)
        return cls(distinct[total > 0], total[total > 0])

    @property
    def size(self) -> int:
        """Values in the written-out sample."""
        return int(self.counts.sum())

    def mean(self) -> float | None:
        """None for an empty sample."""
        return math.fsum((self.values * self.counts).tolist()) / self.size if self.size else None

    def percentile(self, percent: float) -> float | None:
        """numpy.percentile(sample, percent), without writing the sample out; None for an empty one."""
        if not self.size:
            return None
        rank = percent / 100 * (self.size - 1)
        below = math.floor(rank)
        ranks = (below, min(below + 1, self.size - 1))
        low, high = self.values[np.searchsorted(np.cumsum(self.counts), ranks, side="right")].tolist()
        part = rank - below  # interpolated from the nearer side, as numpy does
        return low + (high - low) * part if part < 0.5 else high - (high - low) * (1 - part)

    def summary(self, percents: Sequence[int]) -> dict[str, float | None]:
        """mean, median, the asked percentiles as p<percent>, max."""
        return {
            "mean": self.mean(),
            "median": self.percentile(50),
            **{f"p{percent}": self.percentile(percent) for percent in percents},
            "max": float(self.values[-1]) if self.size else None,
        }


@dataclass(frozen=True)
class Summary:
    """One metric over repeated runs. A field that needs two runs, or a mean other than 0, may be None."""

    mean: float
    interval: tuple[float, float] | None  # CONFIDENCE, of the mean, by Student's t
    cv_pct: float | None  # standard deviation (n - 1) / mean
    spread_pct: float | None  # distance from the mean of the run farthest off / mean

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """At least one value."""
        from scipy.special import stdtrit  # not above: it takes longer to import than everything else here

        mean = fmean(values)
        if len(values) < 2:
            return cls(mean, None, None, None)
        deviation = stdev(values)
        half = float(stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2)) * deviation / math.sqrt(len(values))
        farthest = max(abs(value - mean) for value in values)
        relative = [None, None] if mean == 0 else [100 * x / abs(mean) for x in (deviation, farthest)]
        return cls(mean, (mean - half, mean + half), *relative)

    def agrees(self, tolerance_pct: float) -> bool:
        """Whether every run is within the tolerance of the mean. A single run never agrees."""
        return self.spread_pct is not None and self.spread_pct <= tolerance_pct


def verification(
    metric: str, values: Sequence[float], tolerance_pct: float = TOLERANCE_PCT
) -> dict[str, Any]:
    """How well a document's runs agree, by the `values` that they gave for `metric`."""
    summary = Summary.of(values)
    return {
        "metric": metric,
        "runs": len(values),
        "spread_pct": summary.spread_pct,
        "tolerance_pct": tolerance_pct,
        "within_tolerance": summary.agrees(tolerance_pct),
    }
