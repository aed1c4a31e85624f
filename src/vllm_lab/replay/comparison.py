"""Two replays compared record by record: how many are equal, and the first that is not.

`compare` takes two replays, in memory or from their files. `compare_all` compares every stored replay of a
version of mini_vllm with that of vLLM's scheduler and gives one JSON object for each.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from typing import Any

from mini_vllm.tools.records import COLUMNS, Step
from mini_vllm.tools.versions import VERSIONS
from vllm_lab.common.errors import LabError
from vllm_lab.replay.records import ORACLES, REAL, SCHEDULER, Key, StoredRun
from vllm_lab.replay.replay import Outcome, Refusal, Result

TIMES = {"time", "arrival", "ttft", "tpot", "e2e"}
STEP_FIELDS = ("step", "time", "scheduled", "preempted", "finished", "evicted", "free_blocks")
METRICS = ("ttft_mean", "tpot_mean", "e2e_mean", "preemptions", "makespan")  # compared for each replay
ENGINES = (*VERSIONS, SCHEDULER, REAL)

Record = Step | Outcome | Refusal


@dataclass(frozen=True)
class Difference:
    """The first record in which two replays differ, on each side. A side that has no such record has None."""

    what: str  # "step 12" or "request r3"
    row: int
    fields: list[str]  # names of those that differ
    oracle: Record | None
    mini: Record | None
    before: Record | None  # the oracle's record before it: the last common state; None for the first


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
        lines = [
            f"{self.steps.equal} steps equal, {self.steps.differing} steps differ, "
            f"{self.requests.differing} requests differ"
        ]
        first = self.first
        if first is not None:
            lines.append(f"first difference: {first.what}, in {', '.join(first.fields)}")
            if self.steps.first and first.before is not None:
                lines.append(f"  both before: {_line(first.before)}")
            lines += [
                f"  vLLM: {_line(first.oracle) or 'nothing'}",
                f"  mini: {_line(first.mini) or 'nothing'}",
            ]
        return "\n".join(lines)


def compare(oracle: Result | StoredRun, mini: Result | StoredRun, timed: bool = True) -> Comparison:
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


def _tally(noun: str, oracle: Iterable[Record], mini: Iterable[Record], fields: Sequence[str]) -> Tally:
    tally = Tally()
    before = None
    for row, (left, right) in enumerate(zip_longest(oracle, mini)):
        unlike = [name for name in fields if not _same(left, right, name)]
        if not unlike:
            tally.equal += 1
        else:
            tally.differing += 1
            tally.fields.update(unlike)
            if tally.first is None:
                name = row if noun == "step" else (left or right).request_id
                tally.first = Difference(f"{noun} {name}", row, unlike, left, right, before)
        before = left
    return tally


def _same(left: Record | None, right: Record | None, name: str) -> bool:
    if left is None or right is None:
        return False
    one, other = getattr(left, name), getattr(right, name)
    if name == "scheduled":  # dicts in another order are ==, and the order is a decision
        return one == other and list(one) == list(other)
    return one == other


def _line(record: Record | None) -> str | None:
    """A record as text. Steps are lines of JSON: as JSON objects they would lose the order of `scheduled`."""
    return record.line() if isinstance(record, Step) else record and str(record)


def compare_all(runs: Mapping[Key, StoredRun]) -> list[dict[str, Any]]:
    """One JSON object for each replay of a version, in the order of `runs`.

    A version is compared with vLLM with its prefix cache if it has one. If vLLM was not run, the object has
    the status not_run and the reason. LabError if the engine of a replay is unknown, or if the replay of vLLM
    to compare it with is missing.
    """
    compared = []
    for (engine, trace, memory), mini in runs.items():
        if engine in ORACLES:
            continue
        if engine not in VERSIONS:
            known = ", ".join((*VERSIONS, *ORACLES))
            raise LabError(f"{mini.name}: no engine {engine!r} to compare; there are {known}")
        against = ORACLES[VERSIONS[engine].caches]
        vllm = runs.get((against, trace, memory))
        if vllm is None:
            raise LabError(f"{mini.name}: the replay to compare it with, {against}, is missing; run its rule")
        place = {"version": engine, "against": against, "trace": trace, "memory": memory}
        not_run = {"status": "not_run", "reason": vllm.record.get("reason")}
        compared.append(place | (_compared(vllm, mini) if vllm.ran else not_run))
    return compared


def _compared(vllm: StoredRun, mini: StoredRun) -> dict[str, Any]:
    """How far one version's replay equals vLLM's."""
    found = compare(vllm, mini)
    difference = crash = None
    if (first := found.steps.first) is not None:
        sides = {"before": first.before, "vllm": first.oracle, "mini": first.mini}
        lines = {side: _line(step) for side, step in sides.items()}
        difference = {"step": first.row, "fields": first.fields, **lines}
    if (end := mini.record["crash"]) is not None:  # of v1
        same = next(islice(vllm.steps, end["step"], None), None)  # vLLM's step of the same number
        crash = {**end, "finished": mini.record["metrics"]["finished"], "vllm": _line(same)}
    return {
        "status": "simulated",
        "vllm_version": vllm.record["vllm_version"],
        "equal": found.equal,
        "equal_steps": found.steps.equal,
        "differing_steps": found.steps.differing,
        "step_fields": dict(found.steps.fields),
        "first_difference": difference,
        "equal_requests": found.requests.equal,
        "differing_requests": found.requests.differing,
        "request_columns": dict(found.requests.fields),
        "differing_refusals": found.refused.differing,
        "metrics": {name: _metric(vllm, mini, name) for name in METRICS},
        "crash": crash,
    }


def _metric(vllm: StoredRun, mini: StoredRun, name: str) -> dict[str, Any]:
    """A metric on both sides, and (mini - vLLM) / vLLM where that is defined."""
    reference, value = vllm.record["metrics"][name], mini.record["metrics"][name]
    relative = (value - reference) / reference if reference and value is not None else None
    return {"vllm": reference, "mini": value, "relative_difference": relative}
