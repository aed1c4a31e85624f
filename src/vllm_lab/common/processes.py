"""Processes that end with the process that started them, in whatever way that ends."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from contextlib import suppress

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Let Linux send this process the signal `number` when its parent dies, even by SIGKILL.

    The signal also comes when the thread that started this process ends (man 2 PR_SET_PDEATHSIG). On other
    systems nothing happens.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number)
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
