"""Processes that end when the process that started them ends, in whatever way."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

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
