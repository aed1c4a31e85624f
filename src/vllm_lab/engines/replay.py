"""Requests through real vLLM in real time: each enters once its arrival time has passed."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from mini_vllm.tools.records import Step
from vllm_lab.engines.engine import Engine
from vllm_lab.replay.replay import Replay, Result, TracedRequest


@dataclass(slots=True)
class RealStep(Step):
    """A step in real time: `time` is its start, in s since the replay's."""

    seconds: float  # to schedule, to run the model, to sample and to hand out the tokens
    computed: dict[str, int]  # request id -> tokens in the KV cache once the step ends

    def line(self) -> str:
        """One JSON object: the keys of a step in virtual time, then its own."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, kw_only=True)
class RealRun(Result):
    """A replay in real time. Its steps are RealSteps."""

    environment: dict[str, Any]  # see Engine.environment
    prompts: dict[str, int]  # request id -> prompt tokens

    def summary(self) -> str:
        """One line for a log."""
        return (
            f"vLLM {self.environment['vllm']} on {self.environment['device_name']}: "
            f"{len(self.requests)} requests ({len(self.refused)} refused), {len(self.steps)} steps, "
            f"{sum(step.seconds for step in self.steps):.1f} s in them"
        )


def replay(engine: Engine, requests: Sequence[TracedRequest]) -> RealRun:
    """Replay `requests` from an empty prefix cache. They may be in any order; ties of arrival keep theirs.

    vLLM decides as the oracle does. Which requests have arrived by a step depends on the clock, so only a run
    whose requests all arrive at 0 s takes the oracle's steps from first to last.
    """
    engine.forget()
    running = Replay(engine, requests)
    taken = list(running.steps())  # to the end, before anything else costs time
    names = [field.name for field in fields(Step)]
    steps = [
        RealStep(*(getattr(step, name) for name in names), done.seconds, done.computed)
        for step, done in taken
    ]
    prompts = {request.request_id: request.prompt_tokens for request in requests}
    return RealRun(
        steps, running.outcomes(), running.refused, environment=engine.environment(), prompts=prompts
    )
