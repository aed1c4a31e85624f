"""The replay of a trace through an engine: requests enter at their times, and each step hands out tokens.

An engine is a scheduler with a clock. The oracle's clock is virtual, the real engine's is the machine's; all
else is the same and is here.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from mini_vllm.tools.records import Step
from vllm_lab.common.errors import LabError
from vllm_lab.replay.requests import TracedRequest


@dataclass(frozen=True)
class Outcome:
    """The outcome of one request. Times in s; None where the request never produced the tokens for them."""

    request_id: str
    arrival: float
    cached_tokens: int | None = None  # at its first admission; None for a refused request
    preemptions: int | None = None
    ttft: float | None = None
    tpot: float | None = None
    e2e: float | None = None
    output_tokens: int = 0

    @classmethod
    def finished(
        cls,
        request_id: str,
        arrival: float,
        cached_tokens: int,
        preemptions: int,
        first: float,
        last: float,
        output_tokens: int,
    ) -> Outcome:
        """For a request that got its first token at `first` and its last one at `last` (s)."""
        tpot = (last - first) / (output_tokens - 1) if output_tokens > 1 else None
        return cls(
            request_id,
            arrival,
            cached_tokens,
            preemptions,
            first - arrival,
            tpot,
            last - arrival,
            output_tokens,
        )


@dataclass(frozen=True)
class Refusal:
    """A request that could never finish. It was kept from the scheduler."""

    request_id: str
    reason: str


@dataclass(frozen=True)
class Crash:
    """How v1 ends when memory runs out: in which step, at what time (s), and why."""

    step: int
    time: float
    reason: str


@dataclass(frozen=True)
class Result:
    """A whole replay: the steps in order, the requests and the refusals in order of arrival."""

    steps: list[Step]
    requests: list[Outcome]
    refused: list[Refusal]
    crash: Crash | None = None  # the steps end before it


@dataclass(frozen=True)
class EngineStep:
    """What one step of an engine did."""

    start: float  # s, on the engine's clock
    seconds: float  # to schedule, to run the model, to sample and to hand out the tokens
    scheduled: dict[str, int]  # request id -> tokens, in the order in which they were scheduled
    computed: dict[str, int]  # request id -> tokens in the KV cache once the step ends
    preempted: list[str]
    evicted: list[str]
    cached: dict[str, int]  # request id -> prompt tokens found in the cache; given with its first token
    finished: list[str]
    tokens: dict[str, int]  # ids of requests that got a token -> that token


class Engine(Protocol):
    """What a replay asks of an engine."""

    busy: bool  # whether a request is queued or running
    free_blocks: int  # that the pool could hand out now

    def now(self) -> float:
        """The time on the engine's clock, s."""

    def wait_until(self, moment: float) -> None:
        """Let the clock reach `moment` (s)."""

    def refusal(self, request: TracedRequest) -> str | None:
        """Why the request could never finish, or None if it can."""

    def add(self, request: TracedRequest) -> None:
        """Queue a request, to be answered with its own output."""

    def step(self) -> EngineStep:
        """Run one step. It may schedule nothing."""


class Replay:
    """One run of `requests` through `engine`. They may be in any order; ties of arrival keep theirs.

    Iterate `steps` to the end, then read `outcomes`. Times count from the replay's start.
    """

    def __init__(self, engine: Engine, requests: Sequence[TracedRequest]) -> None:
        self.engine = engine
        self.ordered = sorted(requests, key=lambda request: request.arrival_time)
        reasons = {request.request_id: engine.refusal(request) for request in self.ordered}
        self.refused = [Refusal(name, reason) for name, reason in reasons.items() if reason]
        self._refused = {refusal.request_id for refusal in self.refused}
        self._coming = deque(request for request in self.ordered if request.request_id not in self._refused)
        self._preemptions: Counter[str] = Counter()
        self._cached: dict[str, int] = {}  # request id -> tokens found in the cache at first admission
        self._first_token: dict[str, float] = {}
        self._last_token: dict[str, float] = {}
        self._unfinished: dict[str, None] = {}  # ids of requests in the engine, in order of arrival
        self._origin = engine.now()

    def steps(self) -> Iterator[tuple[Step, EngineStep]]:
        """Run to the end. Yield each step that schedules a token, as the record and as the engine gave it.

        LabError where the engine makes no progress, which cannot happen with requests that fit.
        """
        number = 0
        while self._admit():
            done = self.engine.step()
            self._preemptions.update(done.preempted)
            if not done.scheduled:
                self._check_progress(done)
                continue
            start = done.start - self._origin
            self._note(done, start + done.seconds)
            record = Step(
                number, start, done.scheduled, done.preempted, done.finished, done.evicted,
                self.engine.free_blocks,
            )  # fmt: skip
            yield record, done
            number += 1

    def outcomes(self) -> list[Outcome]:
        """The outcome of every request, in order of arrival."""
        return [self._outcome(request) for request in self.ordered]

    def _outcome(self, request: TracedRequest) -> Outcome:
        name = request.request_id
        if name in self._refused:
            return Outcome(name, request.arrival_time)
        return Outcome.finished(
            name,
            request.arrival_time,
            self._cached[name],
            self._preemptions[name],
            self._first_token[name],
            self._last_token[name],
            len(request.output),
        )

    def _admit(self) -> bool:
        """Queue all that has arrived, after a wait for the next arrival if idle; False at the very end."""
        if not self.engine.busy:
            if not self._coming:
                return False
            self.engine.wait_until(self._origin + self._coming[0].arrival_time)
        while self._coming and self._coming[0].arrival_time <= self.engine.now() - self._origin:
            request = self._coming.popleft()
            self.engine.add(request)
            self._unfinished[request.request_id] = None
        return True

    def _note(self, step: EngineStep, end: float) -> None:
        """Note when tokens appeared (at `end`, s), what was found in the cache, and who has finished."""
        self._cached.update(step.cached)
        for name in step.tokens:
            self._first_token.setdefault(name, end)
            self._last_token[name] = end
        for name in step.finished:
            del self._unfinished[name]

    def _check_progress(self, step: EngineStep) -> None:
        """A step may schedule nothing once it has preempted; without that the next would be the same.

        It happens under `priority`: the first to run is itself the victim, and vLLM admits nobody in a step
        that preempted. In virtual time such a step takes no time. It is not written.
        """
        if self._unfinished and not step.preempted:
            now, unfinished = self.engine.now() - self._origin, list(self._unfinished)[:5]
            raise LabError(
                f"vLLM's scheduler makes no progress at {now:.6g} s; unfinished: {', '.join(unfinished)}. "
                "More blocks (num_blocks) or a larger max_num_batched_tokens would free it"
            )
