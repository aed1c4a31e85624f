"""Replays through the versions of mini_vllm."""

from collections.abc import Sequence

from mini_vllm.errors import OutOfBlocks
from mini_vllm.limits import Limits
from mini_vllm.request import Request
from mini_vllm.tools.engines import build, replay
from mini_vllm.tools.records import Step, outcome
from vllm_lab.replay.replay import Crash, Outcome, Refusal, Result, TracedRequest


def run(version: str, requests: Sequence[TracedRequest], limits: Limits) -> Result:
    """Replay `requests` through `version`. They may be in any order; ties of arrival keep theirs."""
    rows = [
        Request(row.request_id, row.arrival_time, row.priority, row.prompt, row.output)
        for row in sorted(requests, key=lambda row: row.arrival_time)
    ]
    return run_rows(version, rows, limits)


def run_rows(version: str, rows: Sequence[Request], limits: Limits) -> Result:
    """Replay mini_vllm's own requests, which must be new and in order of arrival.

    If v1 runs out of blocks, the result has the steps up to there and the crash.
    """
    engine = build(version, rows, limits)
    steps: list[Step] = []
    crash = None
    try:
        steps.extend(replay(engine))
    except OutOfBlocks as error:  # a result, not a fault: a comparison counts the missing steps as differing
        crash = Crash(engine.steps, engine.now, str(error))
    refused = [Refusal(request.request_id, why) for request, why in engine.refused]
    return Result(steps, [Outcome(*outcome(request)) for request in rows], refused, crash)
