"""What a replay leaves: one Step a scheduled step, one Outcome a request, and their files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from vllm_lab import files

COLUMNS = ("request_id", "arrival", "cached_tokens", "preemptions", "ttft", "tpot", "e2e", "output_tokens")


@dataclass(frozen=True)
class Step:
    """One step that scheduled something; `time` (s) is its start, the rest is as it is at its end."""

    step: int
    time: float
    scheduled: dict[str, int]  # request id -> tokens, in the order in which they were scheduled
    preempted: list[str]
    finished: list[str]
    evicted: list[str]  # names of blocks
    free_blocks: int


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


@dataclass(frozen=True)
class Refusal:
    """A request that could never finish and was therefore kept from the scheduler."""

    request_id: str
    reason: str


@dataclass(frozen=True)
class Result:
    """A whole replay: the steps in order, the requests and the refusals in order of arrival."""

    steps: list[Step]
    requests: list[Outcome]
    refused: list[Refusal]


def write_steps(path: str | os.PathLike, steps: Iterable[Step]) -> None:
    """Write JSON Lines, a step a line, whole or not at all."""
    with files.atomic_path(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        for step in steps:
            file.write(step_line(step) + "\n")


def step_line(step: Any) -> str:
    """One JSON object; keys in the order of Step, as the order of `scheduled` has a meaning."""
    return json.dumps(asdict(step), ensure_ascii=False, separators=(",", ":"))


def write_requests(path: str | os.PathLike, requests: Iterable[Outcome]) -> None:
    """Write CSV, a request a row, an empty field for None, whole or not at all."""
    files.write_csv(path, COLUMNS, ([getattr(request, name) for name in COLUMNS] for request in requests))
