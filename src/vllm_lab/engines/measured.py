"""What a real run leaves: the records of a replay in virtual time, and the seconds that each step took."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from mini_vllm.tools.records import Step
from vllm_lab.replay.records import Outcome, Refusal, Result


@dataclass(frozen=True)
class MeasuredStep:
    """A step and what it took. `step.time` is its start, in s since the run's."""

    step: Step
    seconds: float  # to schedule, to run the model, to sample and to hand out the tokens
    computed: dict[str, int]  # request id -> tokens in the KV cache once the step ends

    def line(self) -> str:
        """One JSON object: the step's keys as in virtual time, then its own."""
        record = asdict(self.step) | {"seconds": self.seconds, "computed": self.computed}
        return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class Measured:
    """A whole run: the steps in order, the requests and the refusals in order of arrival."""

    steps: list[MeasuredStep]
    requests: list[Outcome]
    refused: list[Refusal]
    environment: dict[str, Any]  # see engine.environment
    prompts: dict[str, int]  # request id -> prompt tokens

    @property
    def decisions(self) -> Result:
        """What can be held against a replay in virtual time: all but the times is the scheduler's doing."""
        return Result([measured.step for measured in self.steps], self.requests, self.refused)
