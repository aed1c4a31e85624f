"""A sweep over arrival rates: vLLM's server, and the open-loop client that sends a trace's requests to it.

The client works with every OpenAI-compatible server. It sends each request at its arrival time, whatever
happens to the other requests. It notes when each part of a streamed answer arrives, and reads the server's
counters.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from vllm_lab.common import console
from vllm_lab.common.errors import Unavailable
from vllm_lab.common.host import die_with_parent, end_session
from vllm_lab.engines import engine
from vllm_lab.engines.settings import FORCED_TOKENS, EngineSettings
from vllm_lab.load.measurements import ERROR_LENGTH, Cell, SentRequest, Sweep
from vllm_lab.measure.workload import at_rate
from vllm_lab.replay.replay import TracedRequest

MODEL = "model"  # the model's name in requests
FORCED = "vllm_lab.engines.plugins:ForcedTokens"
HOST = "127.0.0.1"
STOP_SECONDS = 20.0  # between SIGTERM and SIGKILL
RESET_SECONDS = 10.0  # that requests whose client gave up have left to free their blocks
POLL_SECONDS = 0.2
LOG_LINES = 8  # lines of the server's log in an error
WARM_UP_REQUESTS = 4
COUNTERS = {
    "prefix_cache_queries": "vllm:prefix_cache_queries_total",  # prompt tokens looked up
    "prefix_cache_hits": "vllm:prefix_cache_hits_total",  # prompt tokens found
    "preemptions": "vllm:num_preemptions_total",
    "prompt_tokens": "vllm:prompt_tokens_total",
    "generation_tokens": "vllm:generation_tokens_total",
}


class ServerFailedError(Unavailable):
    """The server did not start, or died, or did not answer as expected."""


@dataclass(frozen=True)
class VllmServer:
    """A running api_server, which answers as `vllm_xargs` says."""

    url: str
    version: str  # of vLLM
    device: str
    command: list[str]  # arguments for Python
    process: subprocess.Popen
    log: Path

    @property
    def exit_status(self) -> int | None:
        """The status of a server that has ended; None while it runs."""
        return self.process.poll()

    def forget(self) -> None:
        """Empty the prefix cache, as soon as no request holds a block. ServerFailedError, httpx.HTTPError."""
        end = time.monotonic() + RESET_SECONDS
        while time.monotonic() < end:
            answer = httpx.post(f"{self.url}/reset_prefix_cache", trust_env=False).raise_for_status()
            if answer.json()["success"]:
                return
            time.sleep(POLL_SECONDS)
        raise ServerFailedError("vLLM's server does not empty its prefix cache: requests still hold blocks")

    def environment(self) -> dict[str, Any]:
        """vLLM's version and the server's resolved configuration. ServerFailedError."""
        page = f"{self.url}/server_info?config_format=json"
        try:
            answer = httpx.get(page, timeout=60, trust_env=False).raise_for_status()
        except httpx.HTTPError as error:
            raise ServerFailedError(f"vLLM's server does not report its configuration: {error}") from error
        config = answer.json()["vllm_config"]
        return {"vllm": self.version, "device": self.device, "config": config, "command": self.command}

    def wait_until_healthy(self, startup: float) -> None:
        """Return once it answers. ServerFailedError if it ends or takes more than `startup` seconds."""
        end = time.monotonic() + startup
        while time.monotonic() < end:
            if self.exit_status is not None:
                raise self._failed(f"ended with {self.exit_status}")
            with suppress(httpx.TransportError):  # not listening yet
                if httpx.get(f"{self.url}/health", trust_env=False).status_code == httpx.codes.OK:
                    return
            time.sleep(POLL_SECONDS)
        raise self._failed(f"is not healthy after {startup:g} s")

    def _failed(self, how: str) -> ServerFailedError:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return ServerFailedError(f"vLLM's server {how}: {' | '.join(lines[-LOG_LINES:])}")


@contextmanager
def vllm_server(settings: EngineSettings, log: Path, startup: float) -> Iterator[VllmServer]:
    """Start an api_server on a free port of the loopback, wait up to `startup` seconds, and always stop it.

    SIGTERM raises SystemExit inside the block. The server is a session of its own, so that all its processes
    can be ended. Unavailable if vLLM is not installed or is built for another device. ServerFailedError, with
    the end of the log, if the server does not get healthy.
    """
    version = engine.check_device(settings.device)
    former = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        with socket.create_server((HOST, 0)) as free:
            port = free.getsockname()[1]
        words = [*command(settings), "--port", str(port)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(),
                start_new_session=True,
                preexec_fn=partial(die_with_parent, signal.SIGTERM),
            )
            try:
                server = VllmServer(f"http://{HOST}:{port}", version, settings.device, words, process, log)
                server.wait_until_healthy(startup)
                yield server
            finally:
                end_session(process, STOP_SECONDS)
    finally:
        signal.signal(signal.SIGTERM, former)


def command(settings: EngineSettings) -> list[str]:
    """The server's arguments for Python, without the port."""
    given = settings.engine_args() | {
        "served_model_name": MODEL,
        "skip_tokenizer_init": False,  # answers are text
        "disable_log_stats": None,  # the flag is left out, as /metrics needs the statistics
        "enable_prompt_tokens_details": True,  # cached tokens in every answer
        "logits_processors": FORCED,
        "host": HOST,
    }
    words = ["-m", "vllm.entrypoints.openai.api_server"]
    for name, value in given.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None:
            words += [f"--{flag}", str(value)]
    return words


def _environment() -> dict[str, str]:
    source = Path(__file__).parents[2]  # where FORCED is imported from
    path = os.pathsep.join(filter(None, (str(source), os.environ.get("PYTHONPATH"))))
    # vLLM binds its worker to all cores but one, which it leaves to the server. A thread for each core of the
    # job would be more threads than the worker has cores, and they would spin against each other. Snakemake
    # sets several such variables; torch reads MKL_NUM_THREADS, too.
    own = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    return own | {
        "PYTHONPATH": path,
        "HF_HUB_OFFLINE": "1",
        "VLLM_CONFIGURE_LOGGING": "1",  # vllm_lab.oracle switches it off in this process
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_SERVER_DEV_MODE": "1",  # has /reset_prefix_cache and /server_info
    }


def replay(
    base_url: str, model: str, requests: Sequence[TracedRequest], *, forced: bool, timeout: float
) -> list[SentRequest]:
    """Send every request at its arrival_time (s from now) and wait for all, in the order given.

    `forced`: ask the server to answer with the trace's outputs (it must run vllm_lab.engines.plugins).
    `timeout`: s without a byte after which the client gives a request up. A failure of a request does not
    raise an exception; it is the request's `error`.
    """

    async def send_all() -> list[SentRequest]:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        http = httpx.AsyncClient(base_url=base_url, timeout=timeout, limits=limits, trust_env=False)
        async with http:
            origin = time.perf_counter()
            sending = (_send(http, row, _body(row, model, forced), origin) for row in requests)
            return await asyncio.gather(*sending)

    return asyncio.run(send_all())


def _body(request: TracedRequest, model: str, forced: bool) -> dict[str, Any]:
    """The JSON of a streaming /v1/completions for the request's token ids and exactly its output's length."""
    body = {
        "model": model,
        "prompt": request.prompt,
        "max_tokens": len(request.output),
        "temperature": 0.0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
        "priority": request.priority,
    }
    return body | {"vllm_xargs": {FORCED_TOKENS: request.output}} if forced else body


async def _send(
    http: httpx.AsyncClient, row: TracedRequest, body: dict[str, Any], origin: float
) -> SentRequest:
    request = SentRequest(row.request_id, row.arrival_time, len(row.prompt), len(row.output))
    await asyncio.sleep(max(0.0, origin + row.arrival_time - time.perf_counter()))
    request.sent = time.perf_counter() - origin
    try:
        async with http.stream("POST", "/v1/completions", json=body) as response:
            if response.status_code != httpx.codes.OK:
                text = (await response.aread()).decode(errors="replace")
                request.error = f"HTTP {response.status_code}: {text[:ERROR_LENGTH]}"
                return request
            async for event in _events(response):
                request.note(event, time.perf_counter() - origin)
    except (httpx.HTTPError, json.JSONDecodeError) as error:
        request.error = f"{type(error).__name__}: {error}"[:ERROR_LENGTH]
    if request.error is None and request.output_tokens != request.asked_tokens:
        request.error = f"received {request.output_tokens} tokens instead of {request.asked_tokens}"
    return request


async def _events(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """The JSON of each server-sent event."""
    async for line in response.aiter_lines():
        data = line.removeprefix("data:").strip()
        if line.startswith("data:") and data != "[DONE]":
            yield json.loads(data)


def read_counters(base_url: str) -> dict[str, int]:
    """The values of COUNTERS now, summed over a server's engines. httpx.HTTPError if it does not answer."""
    page = httpx.get(f"{base_url}/metrics", trust_env=False).raise_for_status().text
    totals: dict[str, float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            totals[sample.name] = totals.get(sample.name, 0.0) + sample.value
    return {name: int(totals[sample]) for name, sample in COUNTERS.items()}


def growth(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """How much each counter grew."""
    return {name: after[name] - before[name] for name in COUNTERS}


def sweep(
    server: VllmServer, requests: Sequence[TracedRequest], rates: list[float], repeats: int, timeout: float
) -> Sweep:
    """Replay `requests` at each of `rates` (1/s), `repeats` times. The cells record what fails."""
    environment = server.environment()
    warm_up = at_rate(requests, 1000.0)[:WARM_UP_REQUESTS]
    replay(server.url, MODEL, warm_up, forced=True, timeout=timeout)
    cells = []
    for repeat in range(repeats):
        for rate in rates:
            cell = _cell(server, at_rate(requests, rate), rate, repeat, timeout)
            cells.append(cell)
            answered = len(cell.requests) - sum(cell.errors.values())
            console.log(
                f"{rate:g} requests/s, repeat {repeat}: {answered} of {len(cell.requests)} answered, "
                f"counters {cell.counters}{', ' + cell.problem if cell.problem else ''}"
            )
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
