"""What a replay leaves: a Step for each scheduled step, an Outcome for each request, and their files."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from mini_vllm.tools.records import COLUMNS, Step
from vllm_lab.common import files
from vllm_lab.common.errors import LabError


@dataclass(frozen=True)
class Outcome:
    """What became of one request. Times in s, None where the request never produced the tokens for them."""

    request_id: str
    arrival: float
    cached_tokens: int | None  # at its first admission; None for a refused request
    preemptions: int | None
    ttft: float | None
    tpot: float | None
    e2e: float | None
    output_tokens: int

    @classmethod
    def refused(cls, request_id: str, arrival: float) -> Outcome:
        """Of a request that was kept from the scheduler."""
        return cls(request_id, arrival, None, None, None, None, None, 0)

    @classmethod
    def finished(
        cls,
        request_id: str,
        arrival: float,
        cached_tokens: int,
        preemptions: int,
        first: float,
        last: float,
        output_tokens: int,
    ) -> Outcome:
        """Of a request whose first and last tokens appeared at these times (s)."""
        return cls(
            request_id=request_id,
            arrival=arrival,
            cached_tokens=cached_tokens,
            preemptions=preemptions,
            ttft=first - arrival,
            tpot=(last - first) / (output_tokens - 1) if output_tokens > 1 else None,
            e2e=last - arrival,
            output_tokens=output_tokens,
        )


@dataclass(frozen=True)
class Refusal:
    """A request that could never finish and was therefore kept from the scheduler."""

    request_id: str
    reason: str


@dataclass(frozen=True)
class Crash:
    """How v1 ends when memory runs out: in which step, at what time (s), and why."""

    step: int
    time: float
    reason: str


@dataclass(frozen=True)
class Result:
    """A whole replay: the steps in order, the requests and the refusals in order of arrival."""

    steps: list[Step]
    requests: list[Outcome]
    refused: list[Refusal]
    crash: Crash | None = None  # the steps end before it


def write_steps(path: str | os.PathLike, steps: Iterable[Step]) -> None:
    """Write JSON Lines, a step a line, whole or not at all."""
    with files.atomic_path(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        for step in steps:
            file.write(step.line() + "\n")


def read_steps(path: str | os.PathLike) -> Iterator[Step]:
    """The steps that `write_steps` wrote, one at a time. LabError names the line that is none."""
    with Path(path).open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield Step(**orjson.loads(line))
            except (TypeError, ValueError) as error:
                raise LabError(f"{path}: line {number}: not a step ({error})") from error


def write_requests(path: str | os.PathLike, requests: Iterable[Outcome]) -> None:
    """Write CSV, a request a row, an empty field for None, whole or not at all."""
    files.write_csv(path, COLUMNS, ([getattr(request, name) for name in COLUMNS] for request in requests))


def read_requests(path: str | os.PathLike) -> list[Outcome]:
    """The requests that `write_requests` wrote. LabError where a column is missing or is none of it."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        try:
            return [_outcome(row) for row in csv.DictReader(file)]
        except (KeyError, ValueError) as error:
            raise LabError(f"{path}: not the requests of a replay ({error}); run its rule again") from error


def _outcome(row: dict[str, str]) -> Outcome:
    return Outcome(
        request_id=row["request_id"],
        arrival=float(row["arrival"]),
        cached_tokens=int(row["cached_tokens"]) if row["cached_tokens"] else None,
        preemptions=int(row["preemptions"]) if row["preemptions"] else None,
        ttft=float(row["ttft"]) if row["ttft"] else None,
        tpot=float(row["tpot"]) if row["tpot"] else None,
        e2e=float(row["e2e"]) if row["e2e"] else None,
        output_tokens=int(row["output_tokens"]),
    )
