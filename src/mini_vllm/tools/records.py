"""What a run leaves behind: the steps (JSON Lines) and the requests (CSV), same bytes for the same run."""

import csv
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

from mini_vllm.request import Request

COLUMNS = ("request_id", "arrival", "cached_tokens", "preemptions", "ttft", "tpot", "e2e", "output_tokens")


@dataclass(slots=True)
class Step:
    """One step that scheduled something. `time` (s) is its start, `free_blocks` is counted at its end."""

    step: int
    time: float
    scheduled: dict[str, int]  # request id -> tokens, in the order in which they were scheduled
    preempted: list[str]
    finished: list[str]
    evicted: list[str]  # names of blocks: first 8 bytes of their hash, hexadecimal
    free_blocks: int

    def line(self) -> str:
        """One JSON object, keys in the order above."""
        return next(lines([self]))


def lines(steps: Iterable[Step]) -> Iterator[str]:
    """A JSON object for each step, keys in its order. A map that steps share is encoded once: it is long."""
    scheduled, text = None, ""
    for step in steps:
        if step.scheduled is not scheduled:
            scheduled, text = step.scheduled, _json(step.scheduled)
        yield (
            f'{{"step":{step.step},"time":{_json(step.time)},"scheduled":{text},'
            f'"preempted":{_json(step.preempted)},"finished":{_json(step.finished)},'
            f'"evicted":{_json(step.evicted)},"free_blocks":{step.free_blocks}}}'
        )


_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def outcome(request: Request) -> list:
    """The request's row in the order of COLUMNS; None where it never produced the tokens. Times in s."""
    first, last = request.first_token_time, request.last_token_time
    done = request.finished
    gaps = request.output_tokens - 1
    return [
        request.request_id,
        request.arrival_time,
        request.cached_tokens,
        None if request.cached_tokens is None else request.preemptions,
        None if first is None else first - request.arrival_time,
        (last - first) / gaps if done and gaps else None,
        last - request.arrival_time if done else None,
        request.num_tokens - request.prompt_tokens,
    ]


def write_requests(path: str, requests: Iterable[Request]) -> None:
    """Write CSV, a request a row in the order given, an empty field for None, whole or not at all."""
    with whole_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(outcome(request) for request in requests)


@contextmanager
def whole_file(path: str) -> Iterator[TextIOWrapper]:
    """Open a text file that appears under `path` only once it is complete."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            yield file
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
