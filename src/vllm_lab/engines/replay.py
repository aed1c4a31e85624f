"""Requests through the engine in real time: each enters once its arrival_time has passed."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence

from mini_vllm.tools.records import Step
from vllm_lab.common.errors import LabError
from vllm_lab.engines.engine import Engine, EngineStep
from vllm_lab.engines.measured import Measured, MeasuredStep
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.replay.records import Outcome, Refusal
from vllm_lab.replay.requests import TracedRequest


def run(requests: Sequence[TracedRequest], settings: EngineSettings) -> Measured:
    """Start vLLM, replay `requests` once, stop it."""
    with Engine(settings) as engine:
        return replay(engine, requests)


def replay(engine: Engine, requests: Sequence[TracedRequest]) -> Measured:
    """Replay `requests` (any order; ties of arrival keep theirs), from an empty prefix cache.

    The decisions at one moment are those of the oracle; which requests have arrived by then is the clock's
    doing, so only a run whose requests all come at 0 s takes the oracle's steps from first to last.
    """
    engine.forget()
    ordered = sorted(requests, key=lambda request: request.arrival_time)
    refused = [Refusal(row.request_id, reason) for row in ordered if (reason := engine.refusal(row))]
    names = {refusal.request_id for refusal in refused}
    running = _Replay(engine, [row for row in ordered if row.request_id not in names])
    steps = list(running.steps())
    outcomes = [
        Outcome.refused(row.request_id, row.arrival_time) if row.request_id in names else running.outcome(row)
        for row in ordered
    ]
    prompts = {row.request_id: len(row.prompt) for row in ordered}
    return Measured(steps, outcomes, refused, engine.environment(), prompts)


class _Replay:
    """One run's state: the clock, the requests still to come, and when each token appeared."""

    def __init__(self, engine: Engine, requests: Sequence[TracedRequest]) -> None:
        self.engine = engine
        self.coming = deque(requests)
        self.preemptions: Counter[str] = Counter()
        self.cached: dict[str, int] = {}  # request id -> tokens found in the cache at first admission
        self.first_token: dict[str, float] = {}
        self.last_token: dict[str, float] = {}
        self.origin = time.perf_counter()

    def steps(self) -> Iterator[MeasuredStep]:
        """Run to the end, step by step. A step that schedules nothing is not told of, as in virtual time."""
        number = 0
        while self._admit():
            step = self.engine.step()
            self.preemptions.update(step.preempted)
            if not step.scheduled:
                self._check_progress(step)
                continue
            start = step.start - self.origin
            self._note_tokens(step, start + step.seconds)
            record = Step(
                number,
                start,
                step.scheduled,
                step.preempted,
                step.finished,
                step.evicted,
                self.engine.free_blocks,
            )
            yield MeasuredStep(record, step.seconds, step.computed)
            number += 1

    def outcome(self, request: TracedRequest) -> Outcome:
        """The finished request's row."""
        name = request.request_id
        return Outcome.finished(
            name,
            request.arrival_time,
            self.cached[name],
            self.preemptions[name],
            self.first_token[name],
            self.last_token[name],
            len(request.output),
        )

    def _admit(self) -> bool:
        """Queue all that has arrived, after a wait for the next arrival if idle; False at the very end."""
        if not self.engine.busy:
            if not self.coming:
                return False
            time.sleep(max(0.0, self.coming[0].arrival_time - self._now()))
        while self.coming and self.coming[0].arrival_time <= self._now():
            self.engine.add(self.coming.popleft())
        return True

    def _now(self) -> float:
        return time.perf_counter() - self.origin

    def _note_tokens(self, step: EngineStep, end: float) -> None:
        for name, cached in step.cached.items():
            self.first_token.setdefault(name, end)
            self.last_token[name] = end
            self.cached[name] = cached

    def _check_progress(self, step: EngineStep) -> None:
        """Only a step that preempted may schedule nothing; without that the next would be the same."""
        if self.engine.busy and not step.preempted:
            raise LabError(
                f"vLLM schedules nothing at {self._now():.3f} s with requests unfinished; more blocks "
                "(num_blocks) or a larger max_num_batched_tokens would free it"
            )
