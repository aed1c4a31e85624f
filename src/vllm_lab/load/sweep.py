"""The same requests at several rates against one server, with an empty cache before each replay."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import httpx

from vllm_lab.common import console
from vllm_lab.load.client import SentRequest, growth, read_counters, replay
from vllm_lab.load.server import MODEL, ServerFailedError, VllmServer
from vllm_lab.measure.workload import at_rate
from vllm_lab.replay.requests import TracedRequest

WARM_UP_REQUESTS = 4


@dataclass(frozen=True)
class Cell:
    """One replay. `problem` says why it is incomplete, in addition to its requests' errors."""

    rate: float  # requests/s
    repeat: int
    requests: list[SentRequest]  # in order of arrival; empty if nothing could be sent
    counters: dict[str, int] | None  # how much they grew; None if the server could not be asked
    load_before: float  # 1-minute average of processes that run or wait, the server's included
    load_after: float
    problem: str | None = None

    @property
    def errors(self) -> dict[str, int]:
        """Error -> the number of requests that ended in it."""
        return dict(Counter(request.error for request in self.requests if request.error))


@dataclass(frozen=True)
class Sweep:
    """All replays: the first pass over the rates, then the second, and so on."""

    cells: list[Cell]
    workload: list[TracedRequest]  # the requests that are sent in each cell, at the trace's times
    environment: dict[str, Any]
    exit_status: int | None  # of a server that ended by itself

    def by_rate(self) -> Iterator[tuple[float, list[Cell]]]:
        """The cells of each rate at which requests were sent, rates ascending."""
        sent = [cell for cell in self.cells if cell.requests]
        for rate in sorted({cell.rate for cell in sent}):
            yield rate, [cell for cell in sent if cell.rate == rate]


def sweep(
    server: VllmServer,
    requests: Sequence[TracedRequest],
    rates: Sequence[float],
    repeats: int,
    timeout: float,
) -> Sweep:
    """Replay `requests` at each of `rates` (1/s), `repeats` times. The cells record what fails."""
    environment = server.environment()
    warm_up = at_rate(requests, 1000.0)[:WARM_UP_REQUESTS]
    replay(server.url, MODEL, warm_up, forced=True, timeout=timeout)
    cells = []
    for repeat in range(repeats):
        for rate in rates:
            cells.append(_cell(server, at_rate(requests, rate), rate, repeat, timeout))
            _log(cells[-1])
    return Sweep(cells, list(requests), environment, server.exit_status)


def _cell(
    server: VllmServer, requests: Sequence[TracedRequest], rate: float, repeat: int, timeout: float
) -> Cell:
    load = os.getloadavg()[0]
    try:
        server.forget()
        before = read_counters(server.url)
    except (ServerFailedError, httpx.HTTPError) as error:
        return Cell(rate, repeat, [], None, load, load, _problem(server, error))
    sent = replay(server.url, MODEL, requests, forced=True, timeout=timeout)
    try:
        counters, problem = growth(before, read_counters(server.url)), None
    except httpx.HTTPError as error:
        counters, problem = None, _problem(server, error)
    return Cell(rate, repeat, sent, counters, load, os.getloadavg()[0], problem)


def _problem(server: VllmServer, error: Exception) -> str:
    status = server.exit_status
    return str(error) if status is None else f"vLLM's server has ended with {status}: {error}"


def _log(cell: Cell) -> None:
    console.log(
        f"{cell.rate:g} requests/s, repeat {cell.repeat}: "
        f"{len(cell.requests) - sum(cell.errors.values())} of {len(cell.requests)} answered, "
        f"counters {cell.counters}{', ' + cell.problem if cell.problem else ''}"
    )


def content_of(found: Sweep) -> dict[str, Any]:
    """The sweep as JSON stores it, without the texts of the answers."""
    content = asdict(found)
    for cell in content["cells"]:
        for request in cell["requests"]:
            del request["text"]
    return content


def sweep_of(content: Mapping[str, Any]) -> Sweep:
    """The sweep that `content_of` stored."""
    cells = [
        Cell(**(cell | {"requests": [SentRequest(**request) for request in cell["requests"]]}))
        for cell in content["cells"]
    ]
    workload = [TracedRequest(**row) for row in content["workload"]]
    return Sweep(cells, workload, content["environment"], content["exit_status"])
