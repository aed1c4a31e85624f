"""mini_vllm's side of a comparison, imported only when asked for: the oracle runs alone."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from vllm_lab.errors import LabError
from vllm_lab.oracle.engine import TracedRequest
from vllm_lab.oracle.records import Outcome, Refusal, Result
from vllm_lab.oracle.settings import Settings

VERSIONS = ("v1_naive", "v2_lru", "v3_priority", "v4_prefix")


def run(version: str, requests: Sequence[TracedRequest], settings: Settings) -> Result:
    """Replay through mini_vllm's `version`; a run that ends in v1's OutOfBlocks is as long as it got."""
    try:
        from mini_vllm.errors import OutOfBlocks
        from mini_vllm.limits import Clock, Limits
        from mini_vllm.records import outcome
        from mini_vllm.request import Request

        engine_class = importlib.import_module(f"mini_vllm.{version}.engine").Engine
    except ModuleNotFoundError as error:
        raise LabError(f"mini_vllm {version}: {error}; versions are {', '.join(VERSIONS)}") from error
    limits = Limits(
        num_blocks=settings.num_blocks,
        block_size=settings.block_size,
        max_num_seqs=settings.max_num_seqs,
        max_num_batched_tokens=settings.max_num_batched_tokens,
        policy=settings.policy,
        prefix_caching=settings.prefix_caching,
        chunked_prefill=settings.chunked_prefill and engine_class.has_chunked_prefill,
        clock=Clock(*settings.clock),
    )
    rows = [
        Request(row.request_id, row.arrival_time, row.priority, row.prompt, row.output)
        for row in sorted(requests, key=lambda row: row.arrival_time)
    ]
    engine = engine_class(rows, limits)
    steps: list[Any] = []  # mini_vllm's own Step, whose fields are the oracle's
    with suppress(OutOfBlocks):  # how v1 ends; the steps it lacks are counted as differing
        steps.extend(engine.run())
    refused = [Refusal(request.request_id, why) for request, why in engine.refused]
    return Result(steps, [Outcome(*outcome(request)) for request in rows], refused)
