"""The files of a replay: steps (JSON Lines), requests (CSV), the record (JSON) and events (text).

The record holds the limits, the metrics, the refusals and the crash. All files of a replay have one stem, in
the workflow ENGINE.TRACE.MEMORY.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import orjson

from mini_vllm.limits import Limits
from mini_vllm.tools.records import Step, lines
from vllm_lab.common import files
from vllm_lab.common.errors import LabError
from vllm_lab.replay.metrics import Asked, metrics, metrics_by_priority
from vllm_lab.replay.replay import Outcome, Refusal, Result

# Engines by name, besides the versions of mini_vllm.
SCHEDULER = "vllm_scheduler"  # vLLM's scheduler alone, in virtual time (vllm_lab.oracle)
ORACLES = ("vllm_uncached", "vllm_cached")  # its stored replays of a trace, without and with its prefix cache
REAL = "vllm"  # vLLM with its model, in real time (vllm_lab.engines)

REQUEST_COLUMNS = {
    "request_id": "string",
    "arrival": "float",
    "cached_tokens": "int?",
    "preemptions": "int?",
    "ttft": "float?",
    "tpot": "float?",
    "e2e": "float?",
    "output_tokens": "int",
}
"""Of the requests' CSV, in mini_vllm's order: name -> type, with ? where a field may be empty. Times in s."""
_TYPES = {"string": str, "float": float, "int": int}

Key = tuple[str, str, str]  # engine, trace, memory


def write_steps(path: str | os.PathLike, steps: Iterable[Step]) -> None:
    """Write JSON Lines, one step per line, whole or not at all. Of a real step, only a Step's keys."""
    with files.atomic_path(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines(steps))


def read_steps(path: str | os.PathLike) -> Iterator[Step]:
    """Read what `write_steps` wrote, one step at a time. A LabError names a line that is no step."""
    with Path(path).open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield Step(**orjson.loads(line))
            except (TypeError, ValueError) as error:
                raise LabError(f"{path}: line {number}: not a step ({error})") from error


def write_requests(path: str | os.PathLike, requests: Iterable[Outcome]) -> None:
    """Write CSV, one request per row, an empty field for None, whole or not at all."""
    rows = ([getattr(request, name) for name in REQUEST_COLUMNS] for request in requests)
    files.write_csv(path, tuple(REQUEST_COLUMNS), rows)


def read_requests(path: str | os.PathLike) -> list[Outcome]:
    """Read what `write_requests` wrote. LabError where a value is missing or has a wrong type."""
    try:
        return [
            Outcome(**{name: _value(row[name], kind) for name, kind in REQUEST_COLUMNS.items()})
            for row in files.read_csv(path)
        ]
    except (KeyError, ValueError) as error:
        raise LabError(f"{path}: not the requests of a replay ({error}); run its rule again") from error


def _value(text: str, kind: str) -> Any:
    return None if not text and kind.endswith("?") else _TYPES[kind.rstrip("?")](text)


def events(steps: Iterable[Step]) -> Iterator[str]:
    """The decisions as lines of text without times, so that `diff` shows where two runs part.

    A request that starts, comes back, is preempted or finishes has a line, and so have evicted blocks.
    `tokens` are those scheduled in the step in which a request starts: its prompt less what was in the cache,
    or the first chunk of that. A step in which all requests just go on has no line.
    """
    known: set[str] = set()
    running: set[str] = set()
    for step in steps:
        head = f"step {step.step}"
        for name in step.preempted:
            running.discard(name)
            yield f"{head} preempt {name}"
        if step.evicted:
            yield f"{head} evict {len(step.evicted)} blocks"
        for name, tokens in step.scheduled.items():
            if name not in running:
                yield f"{head} {'resume' if name in known else 'start'} {name} tokens {tokens}"
        running.update(step.scheduled)
        known.update(step.scheduled)
        for name in step.finished:
            running.discard(name)
            yield f"{head} finish {name}"


@dataclass(frozen=True)
class RunFiles:
    """Where a replay's files are. A file without a path is not written."""

    requests: str | os.PathLike  # CSV
    record: str | os.PathLike  # JSON
    steps: str | os.PathLike | None = None  # JSON Lines
    events: str | os.PathLike | None = None  # text

    @classmethod
    def of(cls, stem: str) -> Self:
        """The files under their usual endings."""
        return cls(f"{stem}.requests.csv", f"{stem}.json", f"{stem}.steps.jsonl")

    def write(self, result: Result, record: Mapping[str, Any]) -> None:
        """Write them all, each whole or not at all."""
        if self.steps is not None:
            write_steps(self.steps, result.steps)
        write_requests(self.requests, result.requests)
        if self.events is not None:
            files.write_text(self.events, "".join(f"{line}\n" for line in events(result.steps)))
        files.write_json(self.record, record)

    def write_not_run(self, engine: str, limits: Limits, reason: str) -> None:
        """Write the same files for an `engine` that could not run: no step, no request, and the reason."""
        record = {"engine": engine, "status": "not_run", "reason": reason, "limits": _limits(limits)}
        self.write(Result([], [], []), record)


def simulated_record(
    engine: str, requests: Sequence[Asked], limits: Limits, result: Result, **more: Any
) -> dict[str, Any]:
    """The record of a replay in virtual time, as JSON. `more`: further facts, such as vLLM's version."""
    head = {"engine": engine, "status": "simulated", **more, "limits": _limits(limits)}
    return head | _outcome(requests, limits, result)


def measured_record(
    requests: Sequence[Asked], limits: Limits, repeats: Sequence[Result], environment: Mapping[str, Any]
) -> tuple[Result, dict[str, Any]]:
    """The repeat with the median makespan (the faster of the middle two), and its record as JSON.

    The record has the `environment` of the real engine in place of a clock, and the makespan and the mean
    TTFT (s) of every repeat.
    """
    runs = [(run, _outcome(requests, limits, run)) for run in repeats]
    runs.sort(key=lambda pair: pair[1]["metrics"]["makespan"] or 0.0)
    median, outcome = runs[(len(runs) - 1) // 2]
    repeated = [{name: found["metrics"][name] for name in ("makespan", "ttft_mean")} for _, found in runs]
    return median, {
        "engine": REAL,
        "status": "measured",
        "vllm_version": environment["vllm"],
        "environment": environment,
        "limits": {**_limits(limits), "clock": {"kind": "real"}},
        **outcome,
        "repeats": repeated,
        "same_decisions": all(_decisions(run) == _decisions(median) for run in repeats),
    }


def _decisions(run: Result) -> list[tuple]:
    return [(list(step.scheduled.items()), step.preempted, step.finished, step.evicted) for step in run.steps]


def _outcome(requests: Sequence[Asked], limits: Limits, result: Result) -> dict[str, Any]:
    """Metrics, refusals and v1's crash of a run in virtual or in real time."""
    by_priority = metrics_by_priority(requests, result)
    return {
        "metrics": metrics(requests, result, limits.num_blocks),
        "metrics_by_priority": {str(priority): values for priority, values in by_priority.items()},
        "refused": [asdict(refusal) for refusal in result.refused],
        "crash": asdict(result.crash) if result.crash else None,
    }


def _limits(limits: Limits) -> dict[str, Any]:
    """The limits, with the clock by its kind and its numbers."""
    return {**asdict(limits), "clock": {"kind": type(limits.clock).__name__, **limits.clock._asdict()}}


class StoredRun:
    """A replay read back from its files, of which `record` is one."""

    def __init__(self, record: Path) -> None:
        """LabError where the record is missing or broken."""
        self.name = record.name.removesuffix(".json")
        self.files = RunFiles.of(str(record).removesuffix(".json"))
        self.record: dict[str, Any] = files.read_json(record)

    @property
    def ran(self) -> bool:
        """False where the engine could not run; the files then hold nothing but the reason."""
        return self.record["status"] != "not_run"

    @property
    def steps(self) -> Iterator[Step]:
        """The steps, read again from the first one each time: they may be more than fit into memory."""
        return read_steps(self.files.steps)

    @property
    def requests(self) -> list[Outcome]:
        """The requests in order of arrival."""
        return read_requests(self.files.requests)

    @property
    def refused(self) -> list[Refusal]:
        """The requests that could never finish and never entered."""
        return [Refusal(**refusal) for refusal in self.record["refused"]]


def stored_runs(records: Iterable[Path]) -> dict[Key, StoredRun]:
    """The replays of these records by engine, trace and memory, in the order given."""
    runs = {}
    for record in records:
        key = tuple(record.name.removesuffix(".json").split("."))
        if len(key) != 3:
            raise LabError(f"{record}: a replay's record is named ENGINE.TRACE.MEMORY.json")
        runs[key] = StoredRun(record)
    return runs
