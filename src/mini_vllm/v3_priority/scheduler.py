"""vLLM's Scheduler.schedule (vllm/v1/core/sched/scheduler.py) for one GPU and plain text models."""

from mini_vllm.limits import Limits
from mini_vllm.request import Request
from mini_vllm.tools.ranges import nvtx_range
from mini_vllm.v1_naive.scheduler import SchedulerOutput
from mini_vllm.v2_lru import scheduler as v2
from mini_vllm.v3_priority.block_manager import BlockManager
from mini_vllm.v3_priority.priority_queue import RequestQueue


class Scheduler(v2.Scheduler):
    """There is no prefill phase and no decode phase: each request has tokens that are not computed yet, and
    each step shares a budget of max_num_batched_tokens among them, running requests first."""

    blocks: BlockManager

    def __init__(self, limits: Limits, blocks: BlockManager) -> None:
        super().__init__(limits, blocks)
        self.waiting = RequestQueue(limits.policy)
        self.victim_rule = (
            "is the last in the running list"
            if limits.policy == "fcfs"
            else "has the lowest priority, or the latest arrival of these, among the running"
        )

    @nvtx_range("scheduler.schedule")
    def schedule(self) -> SchedulerOutput:
        """Running requests first; waiting ones only if nobody was preempted: memory is short then."""
        output = SchedulerOutput()
        budget = self.schedule_running(output, self.limits.max_num_batched_tokens)
        if output.preempted:
            self.blocked = "a request was preempted in this step"
        else:
            self.admit(output, budget)
        return output

    def schedule_running(self, output: SchedulerOutput, budget: int, start: int = 0) -> int:
        """Give every running request from `start` on what it lacks, within `budget` (tokens); return what is
        left of it."""
        scheduled = output.scheduled
        index = start
        while index < len(self.running) and budget > 0:
            request = self.running[index]
            num_new = min(request.num_tokens - request.num_computed_tokens, budget)
            num_tokens = request.num_computed_tokens + num_new
            # Strictly inside the blocks it has, there is nothing to allocate and no block becomes full.
            if num_tokens >= request.num_slots:
                while not self.blocks.can_allocate(request, num_tokens):
                    victim = self.victim()
                    # A victim scheduled earlier in this step gives its share of the budget back. Only
                    # priority can choose one: under fcfs the victim is the last, and its turn never came.
                    budget += scheduled.get(victim, 0)
                    if victim in scheduled:
                        index -= 1
                    self.preempt(victim, request, output)
                    if victim is request:
                        return budget  # vLLM leaves the loop here: those behind it get nothing in this step
                self.blocks.allocate(request, num_tokens)
            scheduled[request] = num_new
            budget -= num_new
            index += 1
        return budget

    def victim(self) -> Request:
        """Whose blocks are taken: the last to be admitted, or the lowest priority and latest arrival.

        Only running requests are looked at: a waiting request of high priority takes nothing from a running
        one of low priority. Of equals, max takes the first, as vLLM's does.
        """
        if self.limits.policy == "fcfs":
            return self.running[-1]
        return max(self.running, key=lambda request: (request.priority, request.arrival_time))

    def admit(self, output: SchedulerOutput, budget: int) -> None:
        """Start waiting requests in order until one does not fit: it blocks all behind it."""
        while self.waiting:
            self.blocked = self.full(budget)
            if self.blocked:
                return
            request = self.waiting.peek()
            cached = self.blocks.find_cached(request)
            num_cached = len(cached) * self.blocks.block_size
            num_new = request.num_tokens - num_cached
            self.blocked = self.obstacle(request, budget, num_new, cached)
            if self.blocked:
                return
            self.running.append(self.waiting.popleft())
            num_new = min(num_new, budget)
            self.blocks.reuse(request, cached)
            self.blocks.allocate(request, num_cached + num_new)
            request.num_computed_tokens = num_cached
            if request.cached_tokens is None:  # vLLM's prefill_stats keep the first admission's, too
                request.cached_tokens = num_cached
            output.scheduled[request] = num_new
            budget -= num_new

    def full(self, budget: int) -> str:
        """Why nobody can start now, whoever it is; empty if somebody may."""
        if budget == 0:
            return "the step has no tokens left"
        if len(self.running) >= self.limits.max_num_seqs:
            return "max_num_seqs requests are running"
        return ""

    def obstacle(self, request: Request, budget: int, num_new: int, cached: list[int]) -> str:
        """Why `request` (`num_new` tokens to compute) cannot start now; empty if it can."""
        if num_new > budget and not self.limits.chunked_prefill:
            return f"the step has {budget} tokens left, it needs {num_new} and prefill is not chunked"
        if not self.blocks.can_admit(request, cached):
            return f"only {self.blocks.num_free} blocks are free"
        return ""
