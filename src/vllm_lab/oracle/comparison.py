"""Two replays held side by side: how many steps are equal, and the first that is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from mini_vllm.records import COLUMNS
from vllm_lab.oracle.records import Result

TIMES = ("arrival", "ttft", "tpot", "e2e")
STEP_FIELDS = ("step", "time", "scheduled", "preempted", "finished", "evicted", "free_blocks")


@dataclass(frozen=True)
class Difference:
    """One place where two replays part: its record on each side, None where a side has none."""

    what: str  # "step 12" or "request r3"
    fields: list[str]  # names of those that differ
    oracle: Any
    mini: Any


@dataclass(frozen=True)
class Comparison:
    """Steps are compared by number, requests by row; what only one side has counts as differing."""

    equal_steps: int
    differing_steps: int
    first_step: int | None  # number of the first that differs
    first: Difference | None  # of the steps; if they are all equal, of the requests
    before: Any | None  # the oracle's step before the first difference: the last common state
    differing_requests: int

    @property
    def equal(self) -> bool:
        """Every step, every request's row and every refusal are the same on both sides."""
        return self.first is None

    def report(self) -> str:
        """A person's account: counts, and both sides of the first difference."""
        counts = (
            f"{self.equal_steps} steps equal, {self.differing_steps} steps differ, "
            f"{self.differing_requests} requests differ"
        )
        if self.first is None:
            return counts
        lines = [counts, f"first difference: {self.first.what}, in {', '.join(self.first.fields)}"]
        if self.before is not None:
            lines.append(f"  both before: {_text(self.before)}")
        return "\n".join([*lines, f"  vLLM: {_text(self.first.oracle)}", f"  mini: {_text(self.first.mini)}"])


def compare(oracle: Result, mini: Result, timed: bool = True) -> Comparison:
    """Compare vLLM's replay with mini_vllm's of the same requests and limits.

    Not `timed`, only decisions are compared, no seconds: for a run in real time.
    """
    step_fields = [name for name in STEP_FIELDS if timed or name != "time"]
    columns = [name for name in COLUMNS if timed or name not in TIMES]
    steps = _differences("step", oracle.steps, mini.steps, step_fields)
    requests = _differences("request", oracle.requests, mini.requests, columns)
    refused = _differences("refusal", oracle.refused, mini.refused, ("request_id",))
    first = next(iter([*steps, *requests, *refused]), None)
    at = steps[0][0] if steps else 0
    longest = max(len(oracle.steps), len(mini.steps))
    return Comparison(
        equal_steps=longest - len(steps),
        differing_steps=len(steps),
        first_step=at if steps else None,
        first=first[1] if first else None,
        before=oracle.steps[at - 1] if at else None,
        differing_requests=len(requests),
    )


def _differences(
    noun: str, oracle: Sequence[Any], mini: Sequence[Any], fields: Sequence[str]
) -> list[tuple[int, Difference]]:
    """(row, difference) for each row that is not the same on both sides."""
    found = []
    for row, (ours, theirs) in enumerate(zip_longest(oracle, mini)):
        unlike = [name for name in fields if not _same(ours, theirs, name)]
        if unlike:
            name = row if noun == "step" else (ours or theirs).request_id
            found.append((row, Difference(f"{noun} {name}", unlike, ours, theirs)))
    return found


def _same(ours: Any, theirs: Any, name: str) -> bool:
    if ours is None or theirs is None:
        return False
    left, right = getattr(ours, name), getattr(theirs, name)
    if name == "scheduled":  # a dict's == knows no order, and the order is a decision
        return list(left.items()) == list(right.items())
    return left == right


def _text(record: Any) -> str:
    return "nothing" if record is None else record.line()
