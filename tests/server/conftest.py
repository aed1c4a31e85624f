"""A mini server in a process of its own, and a small trace for it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from vllm_lab.replay.replay import TracedRequest, requests_of
from vllm_lab.traces.trace import Trace

ROOT = Path(__file__).parents[2]
LIMITS = ("--num-blocks", "200", "--block-size", "16", "--clock", "0.002,0,0")
Serve = Callable[..., "contextmanager[str]"]


@contextmanager
def mini_server(*words: str) -> Iterator[str]:
    """`python -m vllm_lab.server` with `words` on a free port of the loopback; its base URL."""
    command = [sys.executable, "-m", "vllm_lab.server", "--port", "0", *(words or LIMITS)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            line = process.stderr.readline()
            found = re.search(r"http://\S+", line)
            assert found, line + process.stderr.read()
            yield found.group()
        finally:
            process.terminate()
            process.communicate(timeout=30)


@pytest.fixture
def trace() -> Trace:
    """6 requests of 75 tokens that share their first 40 in threes; answers of 8 tokens; ids of bytes."""
    random = np.random.default_rng(1)
    heads = random.integers(97, 123, (2, 40)).tolist()
    prompts = [heads[row % 2] + random.integers(97, 123, 35).tolist() for row in range(6)]
    outputs = random.integers(97, 123, (6, 8)).tolist()
    return Trace.from_requests(prompts, outputs, [0.05 * row for row in range(6)])


@pytest.fixture
def requests(trace: Trace) -> list[TracedRequest]:
    return requests_of(trace)
