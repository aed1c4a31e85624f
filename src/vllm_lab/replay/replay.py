"""The replay of a trace through an engine: the requests, the loop that sends them, and what comes out.

An engine is a scheduler with a clock. The clock of mini_vllm and of the oracle is virtual, that of the real
engine is the machine's.
"""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np

from mini_vllm.tools.records import Step
from vllm_lab.common.errors import LabError
from vllm_lab.traces.trace import Trace


@dataclass(frozen=True)
class TracedRequest:
    """A request of a trace: when it arrives, its prompt, and the answer that it will get."""

    request_id: str
    arrival_time: float  # s
    priority: int
    prompt: list[int]  # token ids, >= 1
    output: list[int]  # token ids, >= 1

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt."""
        return len(self.prompt)

    @property
    def output_tokens(self) -> int:
        """Tokens of the output."""
        return len(self.output)

    @property
    def tokens(self) -> int:
        """Tokens of prompt and output."""
        return len(self.prompt) + len(self.output)


def requests_of(trace: Trace, limit: int | None = None) -> list[TracedRequest]:
    """The trace's requests (its first `limit`) in the trace's order.

    In a trace of blocks an id becomes as many equal tokens as a block has, so that two blocks are equal if
    and only if their ids are. The prompt's partial last block and the output consist of the token -1 - row,
    which no other request has (mini_vllm reads such a trace in the same way). LabError for a limit below 1.
    """
    if limit is not None and limit < 1:
        raise LabError(f"limit is {limit}, must be at least 1")
    requests = []
    for row in range(len(trace))[:limit]:
        if trace.unit == "block":
            full, rest = divmod(int(trace.prompt_tokens[row]), trace.block_tokens)
            own = -1 - row
            prompt = np.repeat(trace.prompt(row)[:full], trace.block_tokens).tolist() + [own] * rest
            output = [own] * int(trace.output_tokens[row])
        else:
            prompt, output = trace.prompt(row).tolist(), trace.output(row).tolist()
        arrival, priority = float(trace.arrival_time[row]), int(trace.priority[row])
        requests.append(TracedRequest(trace.request_id[row], arrival, priority, prompt, output))
    return requests


def shortened(
    requests: Sequence[TracedRequest],
    max_prompt_tokens: int | None = None,
    max_output_tokens: int | None = None,
    time_scale: float = 1.0,
) -> list[TracedRequest]:
    """The requests made small enough for a small machine.

    Those with prompts longer than `max_prompt_tokens` are left out, outputs are cut to `max_output_tokens`,
    and arrival times count from the first one that is kept, multiplied by `time_scale`.
    """
    kept = [row for row in requests if max_prompt_tokens is None or len(row.prompt) <= max_prompt_tokens]
    start = min((row.arrival_time for row in kept), default=0.0)
    return [
        replace(
            row, arrival_time=(row.arrival_time - start) * time_scale, output=row.output[:max_output_tokens]
        )
        for row in kept
    ]


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
    ) -> Self:
        """For a request that got its first token at `first` and its last one at `last` (s)."""
        ttft, e2e = first - arrival, last - arrival
        tpot = (last - first) / (output_tokens - 1) if output_tokens > 1 else None
        return cls(request_id, arrival, cached_tokens, preemptions, ttft, tpot, e2e, output_tokens)


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
        reasons = [(request, engine.refusal(request)) for request in self.ordered]
        self.refused = [Refusal(request.request_id, reason) for request, reason in reasons if reason]
        self._coming = deque(request for request, reason in reasons if not reason)
        self._unfinished: dict[str, None] = {}  # ids of requests in the engine, in order of arrival
        self._preemptions: Counter[str] = Counter()
        self._cached: dict[str, int] = {}  # request id -> tokens found in the cache at first admission
        self._tokens_at: dict[str, tuple[float, float]] = {}  # request id -> times of first and last token
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
            start, free = done.start - self._origin, self.engine.free_blocks
            self._note(done, start + done.seconds)
            yield Step(number, start, done.scheduled, done.preempted, done.finished, done.evicted, free), done
            number += 1

    def outcomes(self) -> list[Outcome]:
        """The outcome of every request, in order of arrival."""
        return [self._outcome(request) for request in self.ordered]

    def _outcome(self, request: TracedRequest) -> Outcome:
        name, arrival = request.request_id, request.arrival_time
        if name not in self._tokens_at:  # it was refused
            return Outcome(name, arrival)
        counts = self._cached[name], self._preemptions[name]
        return Outcome.finished(name, arrival, *counts, *self._tokens_at[name], request.output_tokens)

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
            first, _ = self._tokens_at.get(name, (end, end))
            self._tokens_at[name] = first, end
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
