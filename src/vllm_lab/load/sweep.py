"""The same requests at several rates against one server, the cache empty before each replay."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from vllm_lab.common import console
from vllm_lab.cost_model.measure import at_rate
from vllm_lab.load.client import Answer, replay
from vllm_lab.load.counters import difference, read_counters
from vllm_lab.load.server import MODEL, ServerFailedError, VllmServer
from vllm_lab.replay.requests import TracedRequest

WARM_UP_REQUESTS = 4


@dataclass(frozen=True)
class Cell:
    """One replay. `problem` says what kept it from being a whole one, beside its answers' errors."""

    rate: float  # requests/s
    repeat: int
    answers: list[Answer]  # in order of arrival; empty where nothing could be sent
    counters: dict[str, int] | None  # how they grew; None where the server could not be asked
    load_before: float  # 1-minute average of processes running or waiting, the server's among them
    load_after: float
    problem: str | None = None

    @property
    def errors(self) -> dict[str, int]:
        """Each error's text and how many requests ended in it."""
        return dict(Counter(answer.error for answer in self.answers if answer.error))


@dataclass(frozen=True)
class Sweep:
    """All replays, the first pass over the rates before the second."""

    cells: list[Cell]
    environment: dict[str, Any]
    exit_status: int | None  # of a server that ended by itself


def sweep(
    server: VllmServer,
    requests: Sequence[TracedRequest],
    rates: Sequence[float],
    repeats: int,
    timeout: float,
) -> Sweep:
    """Replay `requests` at each of `rates` (1/s), `repeats` times over; what goes wrong is recorded."""
    environment = server.environment()
    warm_up = at_rate(requests, 1000.0)[:WARM_UP_REQUESTS]
    replay(server.url, MODEL, warm_up, forced=True, timeout=timeout)
    cells = []
    for repeat in range(repeats):
        for rate in rates:
            cells.append(_cell(server, at_rate(requests, rate), rate, repeat, timeout))
            _tell(cells[-1])
    return Sweep(cells, environment, server.exit_status)


def _cell(
    server: VllmServer, requests: Sequence[TracedRequest], rate: float, repeat: int, timeout: float
) -> Cell:
    load = os.getloadavg()[0]
    try:
        server.forget()
        before = read_counters(server.url)
    except (ServerFailedError, httpx.HTTPError) as error:
        return Cell(rate, repeat, [], None, load, load, _problem(server, error))
    answers = replay(server.url, MODEL, requests, forced=True, timeout=timeout)
    try:
        grown, problem = difference(before, read_counters(server.url)), None
    except httpx.HTTPError as error:
        grown, problem = None, _problem(server, error)
    return Cell(rate, repeat, answers, grown, load, os.getloadavg()[0], problem)


def _problem(server: VllmServer, error: Exception) -> str:
    status = server.exit_status
    return str(error) if status is None else f"vLLM's server has ended with {status}: {error}"


def _tell(cell: Cell) -> None:
    console.log(
        f"{cell.rate:g} requests/s, repeat {cell.repeat}: "
        f"{len(cell.answers) - sum(cell.errors.values())} of {len(cell.answers)} answered, "
        f"counters {cell.counters}{', ' + cell.problem if cell.problem else ''}"
    )


def by_rate(cells: Sequence[Cell]) -> Iterator[tuple[float, list[Cell]]]:
    """The cells of each rate at which requests were sent, rates ascending."""
    sent = [cell for cell in cells if cell.answers]
    for rate in sorted({cell.rate for cell in sent}):
        yield rate, [cell for cell in sent if cell.rate == rate]
