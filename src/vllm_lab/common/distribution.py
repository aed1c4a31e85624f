"""Means and percentiles of values that each stand for many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Distribution:
    """A sample in which each of V distinct values occurs a number of times.

    Percentiles are numpy's default: linear between the two nearest ranks of the written-out sample. Sums are
    exact (math.fsum), so that the results do not depend on the machine's vector width.
    """

    values: np.ndarray  # float64 [V], ascending
    counts: np.ndarray  # int64 [V], >= 1

    @classmethod
    def of(cls, values: np.ndarray, counts: np.ndarray | None = None) -> Distribution:
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
        upper_ranks = np.cumsum(self.counts)
        low, high = (
            float(self.values[np.searchsorted(upper_ranks, at, side="right")])
            for at in (below, min(below + 1, self.size - 1))
        )
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
