"""One replay by name: a version of mini_vllm, or vLLM's own scheduler."""

from __future__ import annotations

from collections.abc import Sequence

from mini_vllm.limits import Limits
from mini_vllm.tools.versions import VERSIONS
from vllm_lab.oracle import engine
from vllm_lab.oracle.engine import VLLM
from vllm_lab.replay import mini
from vllm_lab.replay.records import Result
from vllm_lab.replay.requests import TracedRequest

ENGINES = (*VERSIONS, VLLM)


def replay(name: str, requests: Sequence[TracedRequest], limits: Limits) -> Result:
    """Replay `requests` through `name`, one of ENGINES. Unavailable if vLLM is asked for and missing."""
    if name == VLLM:
        return engine.run(requests, limits)
    return mini.run(name, requests, limits)
