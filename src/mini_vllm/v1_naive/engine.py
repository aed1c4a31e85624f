"""The loop around the scheduler, in virtual time. Mirrors vLLM's EngineCore.step without the model."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from mini_vllm.limits import Limits
from mini_vllm.request import Request
from mini_vllm.tools.ranges import nvtx_range
from mini_vllm.tools.records import Step
from mini_vllm.v1_naive.block_manager import BlockManager
from mini_vllm.v1_naive.scheduler import Scheduler, SchedulerOutput


class Engine:
    """One run: requests (sorted by arrival) enter at their times, and steps last what the clock says.

    `refused` holds (request, reason) for those that could never finish; they never enter.
    """

    BLOCKS = BlockManager
    SCHEDULER = Scheduler
    CHUNKS = False  # whether a prompt may be computed in several steps

    def __init__(self, requests: Sequence[Request], limits: Limits) -> None:
        self.limits = limits if self.CHUNKS else replace(limits, chunked_prefill=False)
        self.blocks = self.BLOCKS(limits.num_blocks, limits.block_size)
        self.scheduler = self.SCHEDULER(self.limits, self.blocks)
        self.refused: list[tuple[Request, str]] = []
        self.coming: list[Request] = []
        for request in requests:
            if reason := self.limits.refusal(request.total_tokens):
                self.refused.append((request, reason))
            else:
                self.coming.append(request)
        self.coming.reverse()  # so that the next one to arrive is popped off the end
        self.now = 0.0  # s
        self.steps = 0  # how many have scheduled something so far

    def run(self) -> Iterator[Step]:
        """All steps that schedule something, to the end."""
        while self.enter():
            step = self.step()
            if step is not None:
                yield step

    def enter(self) -> bool:
        """Queue all that has arrived, after a jump to the next arrival if idle; False when all is done."""
        if not self.scheduler.has_requests():
            if not self.coming:
                return False
            self.now = max(self.now, self.coming[-1].arrival_time)
        while self.coming and self.coming[-1].arrival_time <= self.now:
            self.scheduler.add(self.coming.pop())
        return True

    @nvtx_range("engine.step")
    def step(self) -> Step | None:
        """Schedule, let the time pass, record the tokens. None if nothing was scheduled: no time passes."""
        output = self.scheduler.schedule()
        return self.finish_step(output)

    def finish_step(self, output: SchedulerOutput) -> Step | None:
        """What `output` leads to: the tokens at the step's end, and the step's record."""
        if not output.scheduled:
            assert output.preempted, f"no progress at {self.now} s"
            self.blocks.take_evicted()  # belongs to no step
            return None
        start, scheduled = self.now, output.scheduled
        computed = (request.num_computed_tokens + new for request, new in scheduled.items())
        prompts = (request.prompt_tokens for request in scheduled)
        self.now = start + self.limits.clock.step_seconds(scheduled.values(), computed, prompts)
        finished = self.scheduler.update(output, self.now)
        self.steps += 1
        tokens = {request.request_id: new for request, new in scheduled.items()}
        preempted = [request.request_id for request in output.preempted]
        return self.record(start, tokens, preempted, [request.request_id for request in finished])

    def record(
        self, start: float, scheduled: dict[str, int], preempted: list[str], finished: list[str]
    ) -> Step:
        """The record of the last step, which began at `start` (s). Requests are named by their ids."""
        evicted = list(self.blocks.take_evicted())
        return Step(self.steps - 1, start, scheduled, preempted, finished, evicted, self.blocks.num_free)
