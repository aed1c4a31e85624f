"""The replay: requests enter vLLM's scheduler at their times, steps last what the clock says.

The model's part is played by the trace: a request's next output token is the one that the trace holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mini_vllm.limits import Limits
from mini_vllm.tools.records import Step
from vllm_lab.common.errors import LabError
from vllm_lab.oracle.scheduler import WatchedScheduler
from vllm_lab.replay.records import Outcome, Refusal, Result
from vllm_lab.replay.requests import TracedRequest

VLLM = "vllm_scheduler"  # this engine's name beside those of mini_vllm's versions


def run(requests: Sequence[TracedRequest], limits: Limits) -> Result:
    """Replay `requests` (any order; ties of arrival keep theirs) through vLLM's scheduler.

    The same requests and limits always give the same result. LabError where the scheduler stops making
    progress, which it must not with requests that fit.
    """
    ordered = sorted(requests, key=lambda request: request.arrival_time)
    refused = [
        Refusal(request.request_id, reason) for request in ordered if (reason := _reason(request, limits))
    ]
    names = {refusal.request_id for refusal in refused}
    replay = _Replay([request for request in ordered if request.request_id not in names], limits)
    steps = list(replay.steps())
    outcomes = [
        Outcome.refused(request.request_id, request.arrival_time)
        if request.request_id in names
        else replay.outcome(request)
        for request in ordered
    ]
    return Result(steps, outcomes, refused)


def _reason(request: TracedRequest, limits: Limits) -> str | None:
    return limits.refusal(len(request.prompt) + len(request.output))


class _Replay:
    """One run's state: the clock, the requests still to come, and when each token appeared."""

    def __init__(self, requests: Sequence[TracedRequest], limits: Limits) -> None:
        longest = max((len(request.prompt) + len(request.output) for request in requests), default=1)
        self.scheduler = WatchedScheduler(limits, longest)
        self.clock = limits.clock
        self.now = 0.0
        self.coming = requests
        self.arrived = 0
        self.traced = {request.request_id: request for request in requests}
        self.vllm: dict[str, Any] = {}  # request id -> vLLM's Request
        self.cached: dict[str, int] = {}  # request id -> tokens found in the cache at first admission
        self.first_token: dict[str, float] = {}
        self.last_token: dict[str, float] = {}

    def steps(self) -> Iterator[Step]:
        """Run to the end, step by step."""
        number = 0
        while self._admit():
            start = self.now
            output = self.scheduler.scheduler.schedule()
            preempted, evicted = self.scheduler.take_events()
            scheduled = output.num_scheduled_tokens
            if not scheduled:
                self._check_progress(preempted)
                continue
            computed = (self.vllm[name].num_computed_tokens for name in scheduled)  # the new ones, too
            prompts = (self.vllm[name].num_prompt_tokens for name in scheduled)
            self.now = start + self.clock.step_seconds(scheduled.values(), computed, prompts)
            finished = self._sample(output)
            yield Step(
                number, start, dict(scheduled), preempted, finished, evicted, self.scheduler.free_blocks
            )
            number += 1

    def outcome(self, request: TracedRequest) -> Outcome:
        """The finished request's row."""
        name = request.request_id
        return Outcome.finished(
            name,
            request.arrival_time,
            self.cached[name],
            self.vllm[name].num_preemptions,
            self.first_token[name],
            self.last_token[name],
            len(request.output),
        )

    def _admit(self) -> bool:
        """Queue all that has arrived, after a jump to the next arrival if idle; False at the very end."""
        if not self.scheduler.scheduler.has_unfinished_requests():
            if self.arrived == len(self.coming):
                return False
            self.now = max(self.now, self.coming[self.arrived].arrival_time)
        while self.arrived < len(self.coming) and self.coming[self.arrived].arrival_time <= self.now:
            request = self.coming[self.arrived]
            self.vllm[request.request_id] = self.scheduler.add(
                request.request_id,
                request.arrival_time,
                request.priority,
                request.prompt,
                len(request.output),
            )
            self.arrived += 1
        return True

    def _sample(self, output: Any) -> list[str]:
        """Give every request that has computed all it holds its next token; return those that finish."""
        from vllm.v1.outputs import ModelRunnerOutput

        names = list(output.num_scheduled_tokens)
        result = ModelRunnerOutput(
            req_ids=names,
            req_id_to_index={name: index for index, name in enumerate(names)},
            sampled_token_ids=[self._next_tokens(name) for name in names],
        )
        finished = []
        for outputs in self.scheduler.scheduler.update_from_output(output, result).values():
            for item in outputs.outputs:
                if item.prefill_stats is not None:
                    self.cached[item.request_id] = item.prefill_stats.num_cached_tokens
                if item.finish_reason is not None:
                    finished.append(item.request_id)
        return finished

    def _next_tokens(self, name: str) -> list[int]:
        request = self.vllm[name]
        if request.num_computed_tokens < request.num_tokens:
            return []  # a chunk of a prompt, not its last
        self.first_token.setdefault(name, self.now)
        self.last_token[name] = self.now
        return [self.traced[name].output[request.num_output_tokens]]

    def _check_progress(self, preempted: list[str]) -> None:
        """A step may schedule nothing once it has preempted; without that the next would be the same.

        It happens under `priority`: the first to run is itself the victim, and vLLM admits nobody in a step
        that preempted. Such a step takes no time and is not written; the requests' counters know of it.
        """
        if preempted:
            return
        running = [request.request_id for request in self.scheduler.scheduler.running]
        waiting = [name for name, request in self.vllm.items() if not request.is_finished()]
        raise LabError(
            f"vLLM's scheduler makes no progress at {self.now} s: running {running[:5]}, unfinished "
            f"{waiting[:5]}; more blocks (num_blocks) or a larger max_num_batched_tokens would free it"
        )
