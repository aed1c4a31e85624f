"""What repeated runs say together: mean, Student's confidence interval, variation and spread."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Summary:
    """Of one metric over the runs; what needs two runs, or a mean other than 0, is None without."""

    mean: float
    interval: tuple[float, float] | None  # CONFIDENCE, of the mean, by Student's t
    cv_pct: float | None  # standard deviation (n - 1) / mean
    spread_pct: float | None  # distance from the mean of the run farthest off / mean

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """At least one value."""
        mean = statistics.fmean(values)
        if len(values) < 2:
            return cls(mean, None, None, None)
        deviation = statistics.stdev(values)
        half = t_quantile(CONFIDENCE, len(values) - 1) * deviation / math.sqrt(len(values))
        farthest = max(abs(value - mean) for value in values)
        relative = [None, None] if mean == 0 else [100 * x / abs(mean) for x in (deviation, farthest)]
        return cls(mean, (mean - half, mean + half), *relative)


def t_quantile(confidence: float, freedom: int) -> float:
    """t such that Student's T of `freedom` degrees lies within ±t with probability `confidence`."""
    low, high = 0.0, 1.0
    while t_probability(high, freedom) < confidence:
        low, high = high, 2 * high
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if t_probability(middle, freedom) < confidence else (low, middle)
    return middle


def t_probability(t: float, freedom: int) -> float:
    """P(|T| <= t), the exact finite sum for whole degrees of freedom.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for power in range(odd, freedom - 1, 2):
        total += term
        term *= cosine**2 * (power + 1) / (power + 2)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
