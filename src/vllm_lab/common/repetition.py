"""What repeated runs say together: mean, Student's confidence interval, variation, spread, agreement."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scipy.special import stdtrit

TOLERANCE_PCT = 5.0  # of a measured result's runs, where the configuration says nothing else
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
        half = float(stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2)) * deviation / math.sqrt(len(values))
        farthest = max(abs(value - mean) for value in values)
        relative = [None, None] if mean == 0 else [100 * x / abs(mean) for x in (deviation, farthest)]
        return cls(mean, (mean - half, mean + half), *relative)

    def agrees(self, tolerance_pct: float) -> bool:
        """Whether every run is within the tolerance of the mean; one run agrees with nothing."""
        return self.spread_pct is not None and self.spread_pct <= tolerance_pct


def verification(
    metric: str, values: Sequence[float], tolerance_pct: float = TOLERANCE_PCT
) -> dict[str, Any]:
    """What a document says of how well its runs agree: by `metric`, of which they gave `values`."""
    summary = Summary.of(values)
    return {
        "metric": metric,
        "runs": len(values),
        "spread_pct": summary.spread_pct,
        "tolerance_pct": tolerance_pct,
        "within_tolerance": summary.agrees(tolerance_pct),
    }
