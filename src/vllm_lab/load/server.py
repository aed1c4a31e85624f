"""vLLM's OpenAI-compatible server as a process of its own: started, asked, and always stopped again."""

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

MODEL = "model"  # the name that requests give
FORCED = "vllm_lab.engines.forced_plugin:ForcedTokens"
HOST = "127.0.0.1"
STOP_SECONDS = 20.0  # from the request to end to the kill
RESET_SECONDS = 10.0  # for requests that a client gave up to let go of their blocks
POLL_SECONDS = 0.2
LOG_LINES = 8  # of a server that did not start, in the error


class ServerFailedError(LabError):
    """The server did not start, or died, or does not do what it is asked; with the end of its log."""


class VllmServer:
    """A running api_server on a free port of the loopback, answering what `vllm_xargs` force it to.

    A context manager. It is stopped whatever ends the block: SIGTERM is turned into SystemExit meanwhile, and
    the server is a session of its own, so that all its processes can be ended. Unavailable where vLLM is not
    installed or is built for another device, ServerFailedError where it does not become healthy.
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
        """None while it runs."""
        return self._process.poll()

    def forget(self) -> None:
        """Empty the prefix cache, once no request holds a block of it. ServerFailedError, httpx.HTTPError."""
        end = time.monotonic() + RESET_SECONDS
        while time.monotonic() < end:
            answer = httpx.post(f"{self.url}/reset_prefix_cache", trust_env=False).raise_for_status()
            if answer.json()["success"]:
                return
            time.sleep(POLL_SECONDS)
        raise ServerFailedError("vLLM's server does not empty its prefix cache: requests still hold blocks")

    def environment(self) -> dict[str, Any]:
        """vLLM's version, and every value that the server resolved its settings to."""
        try:
            answer = httpx.get(
                f"{self.url}/server_info", params={"config_format": "json"}, timeout=60, trust_env=False
            )
            config = answer.raise_for_status().json()["vllm_config"]
        except httpx.HTTPError as error:
            raise ServerFailedError(f"vLLM's server does not tell its configuration: {error}") from error
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
        """Ask it to end, wait, then kill what is left of its session."""
        try:
            if self._process is not None:
                _end(self._process)
        finally:
            signal.signal(signal.SIGTERM, self._handler)


def command(settings: EngineSettings) -> list[str]:
    """The module and its flags, without the port."""
    given = settings.engine_args() | {
        "served_model_name": MODEL,
        "skip_tokenizer_init": False,  # answers are text
        "disable_log_stats": None,  # not given: /metrics needs them
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
    # vLLM binds its worker to all cores but one, which it leaves to the server. As many threads as the job
    # has cores would outnumber the worker's, and spin against each other. OMP_NUM_THREADS is not the only
    # name: from MKL_NUM_THREADS, which Snakemake sets as well, torch takes its number.
    own = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    return own | {
        "PYTHONPATH": path,
        "HF_HUB_OFFLINE": "1",
        "VLLM_CONFIGURE_LOGGING": "1",  # which vllm_lab.oracle switches off in this process
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_SERVER_DEV_MODE": "1",  # /reset_prefix_cache and /server_info; the port is the loopback's
    }


def _end(leader: subprocess.Popen) -> None:
    """End a session: its leader by request, all of it by force."""
    try:
        with suppress(subprocess.TimeoutExpired):
            leader.terminate()
            leader.wait(STOP_SECONDS)
    finally:
        with suppress(ProcessLookupError):  # all have ended
            os.killpg(leader.pid, signal.SIGKILL)
        leader.wait()


def _exit(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)
