"""vLLM's OpenAI-compatible server as a process of its own, which is always stopped again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import httpx

from vllm_lab.common.errors import LabError
from vllm_lab.common.processes import die_with_parent
from vllm_lab.engines import engine
from vllm_lab.engines.settings import EngineSettings

MODEL = "model"  # the model's name in requests
FORCED = "vllm_lab.engines.forced_plugin:ForcedTokens"
HOST = "127.0.0.1"
STOP_SECONDS = 20.0  # between SIGTERM and SIGKILL
RESET_SECONDS = 10.0  # that requests whose client gave up have left to free their blocks
POLL_SECONDS = 0.2
LOG_LINES = 8  # lines of the server's log in an error


class ServerFailedError(LabError):
    """The server did not start, or died, or did not answer as expected."""


class VllmServer:
    """A context manager: an api_server on a free port of the loopback, which answers as `vllm_xargs` says.

    The server is stopped however the block ends. SIGTERM raises SystemExit inside the block. The server is a
    session of its own, so that all its processes can be ended. Unavailable if vLLM is not installed or is
    built for another device. ServerFailedError, with the end of the log, if the server does not get healthy.
    """

    def __init__(self, settings: EngineSettings, log: Path, startup: float) -> None:
        self.settings = settings
        self.log = log
        self.startup = startup  # s until it must be healthy
        self.url = ""
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> VllmServer:
        self.version = engine.check_device(self.settings.device)
        self._handler = signal.signal(signal.SIGTERM, _exit)
        try:
            self._start()
            self._wait_until_healthy()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    @property
    def exit_status(self) -> int | None:
        """The status of a server that has ended; None while it runs."""
        return self._process.poll()

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
        try:
            answer = httpx.get(
                f"{self.url}/server_info", params={"config_format": "json"}, timeout=60, trust_env=False
            )
            config = answer.raise_for_status().json()["vllm_config"]
        except httpx.HTTPError as error:
            raise ServerFailedError(f"vLLM's server does not report its configuration: {error}") from error
        return {
            "vllm": self.version,
            "device": self.settings.device,
            "config": config,
            "command": self._command,
        }

    def _start(self) -> None:
        with socket.create_server((HOST, 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://{HOST}:{port}"
        self._command = [*command(self.settings), "--port", str(port)]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(),
                start_new_session=True,
                preexec_fn=partial(die_with_parent, signal.SIGTERM),
            )

    def _wait_until_healthy(self) -> None:
        end = time.monotonic() + self.startup
        while time.monotonic() < end:
            if self.exit_status is not None:
                raise ServerFailedError(f"vLLM's server ended with {self.exit_status}: {self._last_lines()}")
            with suppress(httpx.TransportError):  # not listening yet
                if httpx.get(f"{self.url}/health", trust_env=False).status_code == httpx.codes.OK:
                    return
            time.sleep(POLL_SECONDS)
        raise ServerFailedError(
            f"vLLM's server is not healthy after {self.startup:g} s: {self._last_lines()}"
        )

    def _last_lines(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return " | ".join(lines[-LOG_LINES:])

    def _stop(self) -> None:
        """End the server if it was started, and give SIGTERM its former handler back."""
        try:
            if self._process is not None:
                _end(self._process)
        finally:
            signal.signal(signal.SIGTERM, self._handler)


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


def _end(leader: subprocess.Popen) -> None:
    """End a session: SIGTERM for its leader, then SIGKILL for all of its processes."""
    try:
        with suppress(subprocess.TimeoutExpired):
            leader.terminate()
            leader.wait(STOP_SECONDS)
    finally:
        with suppress(ProcessLookupError):  # every process has ended
            os.killpg(leader.pid, signal.SIGKILL)
        leader.wait()


def _exit(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)
