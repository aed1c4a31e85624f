"""Two replays compared record by record: how many are equal, and the first that is not.

`compare` takes two replays, in memory or from their files. `compare_all` compares every stored replay of a
version of mini_vllm with that of vLLM's scheduler and gives one JSON object for each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from typing import Any, Protocol

from mini_vllm.tools.records import COLUMNS, Step
from mini_vllm.tools.versions import VERSIONS
from vllm_lab.common.errors import LabError
from vllm_lab.replay.records import ORACLES, REAL, SCHEDULER, Key, StoredRun
from vllm_lab.replay.replay import Outcome, Refusal

TIMES = {"time", "arrival", "ttft", "tpot", "e2e"}
STEP_FIELDS = ("step", "time", "scheduled", "preempted", "finished", "evicted", "free_blocks")
METRICS = ("ttft_mean", "tpot_mean", "e2e_mean", "preemptions", "makespan")  # compared for each replay
ENGINES = (*VERSIONS, SCHEDULER, REAL)


class Side(Protocol):
    """One side of a comparison. Each part is read once, in order, so it may be a stream."""

    steps: Iterable[Step]
    requests: Iterable[Outcome]
    refused: Iterable[Refusal]


@dataclass(frozen=True)
class Difference:
    """The first record in which two replays differ, on each side. A side that has no such record has None."""

    what: str  # "step 12" or "request r3"
    row: int
    fields: list[str]  # names of those that differ
    oracle: Any
    mini: Any
    before: Any  # the oracle's record before it: the last common state; None for the first


@dataclass
class Tally:
    """Two sequences of records, compared row by row. A record that only one side has counts as differing."""

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
        """Whether all steps, requests and refusals are the same on both sides."""
        return self.first is None

    def report(self) -> str:
        """For a person: the counts, and both sides of the first difference."""
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


def compare(oracle: Side, mini: Side, timed: bool = True) -> Comparison:
    """Compare vLLM's replay with mini_vllm's replay of the same requests under the same limits.

    If one side ran in real time, it is not `timed`: only decisions are compared, no seconds.
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
    for row, (left, right) in enumerate(zip_longest(oracle, mini)):
        unlike = [name for name in fields if not _same(left, right, name)]
        if unlike:
            tally.differing += 1
            tally.fields.update(unlike)
            if tally.first is None:
                name = row if noun == "step" else (left or right).request_id
                tally.first = Difference(f"{noun} {name}", row, unlike, left, right, before)
        else:
            tally.equal += 1
        before = left
    return tally


def _same(left: Any, right: Any, name: str) -> bool:
    if left is None or right is None:
        return False
    one, other = getattr(left, name), getattr(right, name)
    if name == "scheduled":  # dicts in another order are ==, and the order is a decision
        return one == other and list(one) == list(other)
    return one == other


def _text(record: Any) -> str:
    if record is None:
        return "nothing"
    return record.line() if isinstance(record, Step) else str(record)


def opponent(version: str) -> str:
    """Which replay of vLLM's scheduler `version` is compared with: with a prefix cache if it has one."""
    return ORACLES[VERSIONS[version].caches]


def compare_all(runs: Mapping[Key, StoredRun]) -> list[dict[str, Any]]:
    """One JSON object for each replay of a version, in the order of `runs`.

    LabError if the engine of a replay is unknown, or if the replay of vLLM to compare it with is missing.
    """
    compared = []
    for (engine, trace, memory), mini in runs.items():
        if engine in ORACLES:
            continue
        if engine not in VERSIONS:
            known = ", ".join((*VERSIONS, *ORACLES))
            raise LabError(f"{mini.name}: no engine {engine!r} to compare; there are {known}")
        against = opponent(engine)
        vllm = runs.get((against, trace, memory))
        if vllm is None:
            raise LabError(f"{mini.name}: the replay to compare it with, {against}, is missing; run its rule")
        place = {"version": engine, "against": against, "trace": trace, "memory": memory}
        compared.append(place | comparison_record(vllm, mini))
    return compared


def comparison_record(vllm: StoredRun, mini: StoredRun) -> dict[str, Any]:
    """How far one version's replay equals vLLM's, as JSON. If vLLM's was not run: not_run and the reason."""
    if not vllm.ran:
        return {"status": "not_run", "reason": vllm.record["reason"]}
    found = compare(vllm, mini)
    return {
        "status": "simulated",
        "vllm_version": vllm.record["vllm_version"],
        "equal": found.equal,
        "equal_steps": found.steps.equal,
        "differing_steps": found.steps.differing,
        "step_fields": dict(found.steps.fields),
        "first_difference": _first_step(found),
        "equal_requests": found.requests.equal,
        "differing_requests": found.requests.differing,
        "request_columns": dict(found.requests.fields),
        "differing_refusals": found.refused.differing,
        "metrics": {name: _metric(vllm, mini, name) for name in METRICS},
        "crash": _crash(vllm, mini),
    }


def _first_step(found: Comparison) -> dict[str, Any] | None:
    """The first step that differs. Its sides are lines: JSON objects would lose the order of `scheduled`."""
    first = found.steps.first
    if first is None:
        return None
    return {
        "step": first.row,
        "fields": first.fields,
        "before": _line(first.before),
        "vllm": _line(first.oracle),
        "mini": _line(first.mini),
    }


def _metric(vllm: StoredRun, mini: StoredRun, name: str) -> dict[str, Any]:
    """A metric on both sides, and (mini - vLLM) / vLLM where that is defined."""
    reference, value = vllm.record["metrics"][name], mini.record["metrics"][name]
    defined = reference and value is not None
    return {
        "vllm": reference,
        "mini": value,
        "relative_difference": (value - reference) / reference if defined else None,
    }


def _crash(vllm: StoredRun, mini: StoredRun) -> dict[str, Any] | None:
    """How v1 ended, how many requests had finished by then, and vLLM's step of the same number."""
    crash = mini.record["crash"]
    if crash is None:
        return None
    same = next(islice(vllm.steps, crash["step"], None), None)
    return {**crash, "finished": mini.record["metrics"]["finished"], "vllm": _line(same)}


def _line(step: Step | None) -> str | None:
    return step and step.line()
