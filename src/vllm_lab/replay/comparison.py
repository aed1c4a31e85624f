"""Two replays held side by side, in memory or from their files: what is equal, and the first that is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Protocol

from mini_vllm.tools.records import COLUMNS, Step
from vllm_lab.replay.records import Outcome, Refusal

TIMES = {"time", "arrival", "ttft", "tpot", "e2e"}
STEP_FIELDS = ("step", "time", "scheduled", "preempted", "finished", "evicted", "free_blocks")


class Replay(Protocol):
    """One side of a comparison. Each part is gone through once, in order, so it may be a stream."""

    steps: Iterable[Step]
    requests: Iterable[Outcome]
    refused: Iterable[Refusal]


@dataclass(frozen=True)
class Difference:
    """One place where two replays part: its record on each side, None where a side has none."""

    what: str  # "step 12" or "request r3"
    row: int
    fields: list[str]  # names of those that differ
    oracle: Any
    mini: Any
    before: Any  # the oracle's record before it: the last common state; None for the first


@dataclass
class Tally:
    """Two sequences of records held side by side, row by row; what only one side has counts as differing."""

    equal: int = 0
    differing: int = 0
    fields: Counter[str] = field(default_factory=Counter)  # name -> rows that differ in it
    first: Difference | None = None


@dataclass(frozen=True)
class Comparison:
    """Steps are compared by number, requests and refusals by row."""

    steps: Tally
    requests: Tally
    refused: Tally

    @property
    def first(self) -> Difference | None:
        """The first difference of the steps, or else of the requests, or else of the refusals."""
        return self.steps.first or self.requests.first or self.refused.first

    @property
    def equal(self) -> bool:
        """Every step, every request's row and every refusal are the same on both sides."""
        return self.first is None

    def report(self) -> str:
        """A person's account: counts, and both sides of the first difference."""
        counts = (
            f"{self.steps.equal} steps equal, {self.steps.differing} steps differ, "
            f"{self.requests.differing} requests differ"
        )
        first = self.first
        if first is None:
            return counts
        lines = [counts, f"first difference: {first.what}, in {', '.join(first.fields)}"]
        if self.steps.first and first.before is not None:
            lines.append(f"  both before: {_text(first.before)}")
        return "\n".join([*lines, f"  vLLM: {_text(first.oracle)}", f"  mini: {_text(first.mini)}"])


def compare(oracle: Replay, mini: Replay, timed: bool = True) -> Comparison:
    """Compare vLLM's replay with mini_vllm's of the same requests and limits.

    Where one side ran in real time (not `timed`) only decisions are compared, and no seconds.
    """
    fields, columns = (
        [name for name in names if timed or name not in TIMES] for names in (STEP_FIELDS, COLUMNS)
    )
    return Comparison(
        _tally("step", oracle.steps, mini.steps, fields),
        _tally("request", oracle.requests, mini.requests, columns),
        _tally("refusal", oracle.refused, mini.refused, ("request_id",)),
    )


def _tally(noun: str, oracle: Iterable[Any], mini: Iterable[Any], fields: Sequence[str]) -> Tally:
    tally = Tally()
    before = None
    for row, (ours, theirs) in enumerate(zip_longest(oracle, mini)):
        unlike = [name for name in fields if not _same(ours, theirs, name)]
        if unlike:
            tally.differing += 1
            tally.fields.update(unlike)
            if tally.first is None:
                name = row if noun == "step" else (ours or theirs).request_id
                tally.first = Difference(f"{noun} {name}", row, unlike, ours, theirs, before)
        else:
            tally.equal += 1
        before = ours
    return tally


def _same(ours: Any, theirs: Any, name: str) -> bool:
    if ours is None or theirs is None:
        return False
    left, right = getattr(ours, name), getattr(theirs, name)
    if name == "scheduled":  # a dict's == knows no order, and the order is a decision
        return left == right and list(left) == list(right)
    return left == right


def _text(record: Any) -> str:
    if record is None:
        return "nothing"
    return record.line() if isinstance(record, Step) else str(record)
