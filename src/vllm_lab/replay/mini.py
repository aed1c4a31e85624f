"""mini_vllm's side of a comparison: the same requests through one of its versions."""

from __future__ import annotations

from collections.abc import Sequence

from mini_vllm.errors import OutOfBlocks
from mini_vllm.limits import Limits
from mini_vllm.request import Request
from mini_vllm.tools.engines import ENGINES, replay
from mini_vllm.tools.records import Step, outcome
from vllm_lab.replay.records import Crash, Outcome, Refusal, Result
from vllm_lab.replay.requests import TracedRequest


def run(version: str, requests: Sequence[TracedRequest], limits: Limits) -> Result:
    """Replay through mini_vllm's `version`."""
    rows = [
        Request(row.request_id, row.arrival_time, row.priority, row.prompt, row.output)
        for row in sorted(requests, key=lambda row: row.arrival_time)
    ]
    return run_rows(version, rows, limits)


def run_rows(version: str, rows: Sequence[Request], limits: Limits) -> Result:
    """Replay mini_vllm's own requests, fresh and in order of arrival.

    A run that ends in v1's OutOfBlocks is as long as it got.
    """
    engine = ENGINES[version](rows, limits)
    steps: list[Step] = []
    crash = None
    try:
        steps.extend(replay(engine))
    except OutOfBlocks as error:  # how v1 ends; the steps it lacks are counted as differing
        crash = Crash(engine.steps, engine.now, str(error))
    refused = [Refusal(request.request_id, why) for request, why in engine.refused]
    return Result(steps, [Outcome(*outcome(request)) for request in rows], refused, crash)
