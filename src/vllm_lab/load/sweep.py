"""The same requests at several rates against one server, with an empty cache before each replay."""

from __future__ import annotations

import os
from collections.abc import Sequence

import httpx

from vllm_lab.common import console
from vllm_lab.load.client import growth, read_counters, replay
from vllm_lab.load.records import Cell, Sweep
from vllm_lab.load.server import MODEL, ServerFailedError, VllmServer
from vllm_lab.measure.workload import at_rate
from vllm_lab.replay.requests import TracedRequest

WARM_UP_REQUESTS = 4


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
