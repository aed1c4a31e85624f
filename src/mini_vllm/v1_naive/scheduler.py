"""Continuous batching, first come first served. Mirrors vLLM's Scheduler as a learner first guesses it."""

from collections import deque
from dataclasses import dataclass, field

from mini_vllm.limits import Limits
from mini_vllm.request import Request
from mini_vllm.tools.ranges import nvtx_range
from mini_vllm.v1_naive.block_manager import BlockManager


@dataclass(slots=True)
class SchedulerOutput:
    """One step's decisions. Mirrors vLLM's SchedulerOutput."""

    scheduled: dict[Request, int] = field(default_factory=dict)  # tokens to compute, in order
    preempted: dict[Request, Request] = field(default_factory=dict)  # from v2 on: who, and who needed a block


class Scheduler:
    """Decides for every step which requests compute how many tokens."""

    def __init__(self, limits: Limits, blocks: BlockManager) -> None:
        self.limits = limits
        self.blocks = blocks
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []

    def add(self, request: Request) -> None:
        """A new request joins the end of the queue."""
        self.waiting.append(request)

    def abort(self, request: Request) -> None:
        """Drop a waiting or running request because its client has left. Mirrors finish_requests."""
        if request in self.running:
            self.running.remove(request)
            self.blocks.release(request)
        else:
            self.waiting.remove(request)

    def has_requests(self) -> bool:
        """Whether anything waits or runs."""
        return bool(self.waiting or self.running)

    @nvtx_range("scheduler.schedule")
    def schedule(self) -> SchedulerOutput:
        """One token for every running request, then whole prompts while there is room."""
        output = SchedulerOutput()
        for request in self.running:
            self.blocks.allocate(request, request.num_tokens)
            output.scheduled[request] = 1
        self.admit(output)
        return output

    def admit(self, output: SchedulerOutput) -> None:
        """Start waiting requests in order until one does not fit: it blocks all behind it."""
        budget = self.limits.max_num_batched_tokens - len(output.scheduled)
        while self.waiting and len(self.running) < self.limits.max_num_seqs:
            request = self.waiting[0]
            num_new = request.num_tokens
            if num_new > budget or not self.blocks.can_allocate(request, num_new):
                return
            self.running.append(self.waiting.popleft())
            self.blocks.allocate(request, num_new)
            request.cached_tokens = 0
            output.scheduled[request] = num_new
            budget -= num_new

    def update(self, output: SchedulerOutput, now: float) -> list[Request]:
        """Record what the step computed at its end, `now` (s); return the requests that finished, in order.

        Mirrors Scheduler.update_from_output. A request yields a token only if all its tokens are computed.
        """
        finished = []
        for request, num_tokens in output.scheduled.items():
            request.num_computed_tokens += num_tokens
            if request.num_computed_tokens < request.num_tokens:
                continue  # a chunk of a prompt (v3), not its last one
            request.append_token(now)
            if request.finished:
                self.blocks.release(request)
                finished.append(request)
        if finished:
            self.running = [request for request in self.running if not request.finished]
        return finished
