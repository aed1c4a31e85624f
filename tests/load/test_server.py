"""Starting and stopping a server, tried with mini-vLLM's in the place of vLLM's: the handling is the same."""

import os
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from mini_vllm.limits import Limits
from vllm_lab.common.errors import Unavailable
from vllm_lab.engines import engine
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.load import sweep
from vllm_lab.load.sweep import ServerFailedError, VllmServer, vllm_server

ROOT = Path(__file__).parents[2]
MINI = ["-m", "vllm_lab.server", "--num-blocks", "50"]
SETTINGS = EngineSettings(Path("nowhere"), Limits(num_blocks=50, block_size=32))
SIGNALLED = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background ignores it
from tests.load.test_server import MINI, pretend, started
from pathlib import Path
pretend(MINI)
with started(Path(sys.argv[1])) as found:
    print(found.url, flush=True)
    time.sleep(60)
"""


def pretend(command: list[str], patch: pytest.MonkeyPatch | None = None) -> None:
    patch = patch or pytest.MonkeyPatch()
    patch.setattr(sweep, "command", lambda settings: command)
    patch.setattr(engine, "check_device", lambda device: "0.0")


def started(folder: Path, startup: float = 60.0) -> AbstractContextManager[VllmServer]:
    return vllm_server(SETTINGS, folder / "server.log", startup)


def gone(url: str, within: float = 0.0) -> bool:
    """Whether nobody listens any more, `within` so many seconds."""
    end = time.monotonic() + within
    while True:
        try:
            httpx.get(f"{url}/health", trust_env=False)
        except httpx.TransportError:
            return True
        if time.monotonic() > end:
            return False
        time.sleep(0.1)


def test_it_is_healthy_inside_the_block_and_gone_after_it(tmp_path, monkeypatch):
    pretend(MINI, monkeypatch)
    with started(tmp_path) as found:
        assert httpx.get(f"{found.url}/health", trust_env=False).status_code == 200
        assert found.exit_status is None
    assert gone(found.url)
    assert "serves mini-vllm" in (tmp_path / "server.log").read_text()


def test_it_is_stopped_when_the_block_fails(tmp_path, monkeypatch):
    pretend(MINI, monkeypatch)
    with pytest.raises(ZeroDivisionError), started(tmp_path) as found:
        _ = 1 / 0
    assert gone(found.url)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_it_is_stopped_when_its_client_is_ended(tmp_path, number):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "src")))}
    with subprocess.Popen(
        [sys.executable, "-c", SIGNALLED, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as client:
        url = client.stdout.readline().strip()
        assert httpx.get(f"{url}/health", trust_env=False).status_code == 200
        client.send_signal(number)
        assert client.wait(60) != 0
    assert gone(url, within=30 if number == signal.SIGKILL else 0)


def test_a_server_that_dies_at_once_reports_the_end_of_its_log(tmp_path, monkeypatch):
    pretend(["-c", "import sys; sys.exit('no memory')"], monkeypatch)
    with pytest.raises(ServerFailedError, match="ended with 1: no memory"), started(tmp_path):
        pass


def test_a_server_that_never_listens_is_given_up_and_ended(tmp_path, monkeypatch):
    pretend(
        ["-c", "import os, time; print(os.getpid(), flush=True); time.sleep(99)"],
        monkeypatch,
    )
    with pytest.raises(ServerFailedError, match="not healthy after 3 s"), started(tmp_path, 3.0):
        pass
    pid = int((tmp_path / "server.log").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_it_counts_its_cores_itself(tmp_path, monkeypatch):
    pretend(["-c", "import os; print([name for name in os.environ if '_NUM_THREADS' in name])"], monkeypatch)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # a job of Snakemake has both
        monkeypatch.setenv(name, "2")
    with pytest.raises(ServerFailedError, match="ended with 0"), started(tmp_path):
        pass
    assert (tmp_path / "server.log").read_text().strip() == "[]"


def test_children_that_stay_are_ended_with_it(tmp_path, monkeypatch):
    child = "import time; time.sleep(99)"
    parent = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {child!r}]).pid)"
    pretend(["-c", parent], monkeypatch)
    with pytest.raises(ServerFailedError, match="ended with 0"), started(tmp_path):
        pass
    pid = int((tmp_path / "server.log").read_text())
    end = time.monotonic() + 20
    while _runs(pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    """Whether the process is there and no zombie waiting for its new parent."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_without_vllm_it_is_unavailable(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(Unavailable, match="not installed"), started(tmp_path):
        pass


def test_the_flags_are_the_settings_and_the_plugin_that_forces_outputs():
    words = sweep.command(SETTINGS)
    assert words[:2] == ["-m", "vllm.entrypoints.openai.api_server"]
    assert {"--enable-prefix-caching", "--no-async-scheduling", sweep.FORCED} <= set(words)
    assert words[words.index("--num-gpu-blocks-override") + 1] == "50"
    assert "None" not in words
