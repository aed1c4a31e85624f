"""Hit-rate curves of a sweep: what each eviction policy saves at each capacity."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vllm_lab.report.blocks import Number
from vllm_lab.report.results import CsvRow, derived
from vllm_lab.report.trace_names import trace_label

BOUND = "belady"  # knows the future: no policy for real use, but the bound of all that are
_KEY = ("trace", "block_size", "policy", "capacity_tokens")


@dataclass(frozen=True)
class Point:
    """One capacity of a curve.

    capacity: tokens, inf for an unbounded cache. hit_rate: tokens found / prompt tokens, 0..1.
    """

    capacity: float
    hit_rate: float
    row: CsvRow


@dataclass(frozen=True)
class Curve:
    """One trace, block size and policy; points by rising capacity, the last one unbounded."""

    trace: str
    block_size: int
    policy: str
    points: tuple[Point, ...]

    @property
    def unbounded(self) -> Point:
        """The point that no capacity passes."""
        return self.points[-1]

    def at(self, capacity: float) -> Point:
        """The point at one of the swept capacities."""
        return next(point for point in self.points if point.capacity == capacity)

    def smallest(self, share: float) -> Point | None:
        """The smallest bounded capacity with at least `share` (0..1) of the unbounded hit rate."""
        wanted = share * self.unbounded.hit_rate
        return next((point for point in self.points[:-1] if point.hit_rate >= wanted), None)

    def rate(self, point: Point) -> Number:
        """The token hit rate at a point, as a Number of the sweep's file."""
        where = "unbounded" if point.capacity == float("inf") else f"{point.capacity:.0f}"
        label = f"{self._name}: prompt tokens found, capacity {where}"
        return point.row.number(
            f"sweeps.{self._id}.{where}", "fraction", "token_hit_rate", where=_KEY, label=label
        )

    def needed(self, share: float) -> tuple[Number, Number | None] | None:
        """Capacity for `share` of the unbounded hit rate in tokens and, where known, GiB."""
        point = self.smallest(share)
        if point is None:
            return None
        percent = f"{100 * share:.0f}"
        label = f"{self._name}: {{}} for {percent} % of the unbounded hit rate"
        id, rate = f"sweeps.{self._id}.needed_{percent}", self.rate(point)
        formula = f"smallest swept capacity with token_hit_rate >= {share} x unbounded"
        tokens = derived(
            f"{id}.tokens", int(point.capacity), "tokens", formula, rate, label=label.format("tokens")
        )
        if not point.row.text("capacity_gib"):
            return tokens, None
        size = point.row.float("capacity_gib")
        return tokens, derived(f"{id}.gib", size, "GiB", formula, rate, label=label.format("KV cache"))

    @property
    def _name(self) -> str:
        return f"{trace_label(self.trace)}, {self.policy}, blocks of {self.block_size}"

    @property
    def _id(self) -> str:
        return f"{self.trace}.block_{self.block_size}.{self.policy}"


def curves(rows: Iterable[CsvRow]) -> list[Curve]:
    """The curves in a sweep's table, in its order."""
    found: dict[tuple[str, int, str], list[Point]] = {}
    for row in rows:
        key = (row.text("trace"), int(row.text("block_size")), row.text("policy"))
        point = Point(row.float("capacity_tokens"), row.float("token_hit_rate"), row)
        found.setdefault(key, []).append(point)
    return [
        Curve(*key, tuple(sorted(points, key=lambda point: point.capacity))) for key, points in found.items()
    ]


def hardest_capacity(online: Sequence[Curve]) -> float:
    """The capacity at which the choice of policy matters most: the first with the widest spread."""

    def spread(capacity: float) -> float:
        rates = [curve.at(capacity).hit_rate for curve in online]
        return max(rates) - min(rates)

    return max((point.capacity for point in online[0].points), key=spread)
