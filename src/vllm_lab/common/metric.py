"""What a metric is: a number with a unit and a definition."""

from typing import NamedTuple

Value = float | int | None


class Metric(NamedTuple):
    """A metric's unit and what it counts."""

    unit: str
    definition: str
