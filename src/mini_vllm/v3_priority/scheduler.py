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

    @nvtx_range("scheduler.schedule")
    def schedule(self) -> SchedulerOutput:
        """Running requests first; waiting ones only if no request was preempted: memory is short then."""
        output = SchedulerOutput()
        budget = self.schedule_running(output, self.limits.max_num_batched_tokens)
        if not output.preempted:
            self.admit(output, budget)
        return output

    def schedule_running(self, output: SchedulerOutput, budget: int, start: int = 0) -> int:
        """Give each running request from index `start` on the tokens that it lacks. Return what is left of
        `budget` (tokens)."""
        scheduled, preempted, block_size = output.scheduled, output.preempted, self.blocks.block_size
        for request in self.running[start:]:
            if budget == 0:
                break
            if request in preempted:
                continue
            num_new = min(request.num_tokens - request.num_computed_tokens, budget)
            num_tokens = request.num_computed_tokens + num_new
            # Most decodes stay inside their last block and need nothing: 5 to 7 tokens in 2 blocks of 4.
            # The 8th token needs no block either, but it fills one, which v4 then caches.
            if num_tokens >= len(request.block_table) * block_size:
                while not self.blocks.can_allocate(request, num_tokens):
                    victim = self.victim()
                    # A victim that was scheduled earlier in this step gives its tokens back. With a budget of
                    # 10, a took 4 and b takes 1 and needs a block: if a is the victim, 10 - 1 remain for the
                    # requests behind b. This only happens under priority: under fcfs the victim is the last.
                    budget += scheduled.get(victim, 0)
                    self.preempt(victim, request, output)
                    if victim is request:
                        return budget  # as in vLLM, the requests behind it get nothing in this step
                self.blocks.allocate(request, num_tokens)
            scheduled[request] = num_new
            budget -= num_new
        return budget

    def victim(self) -> Request:
        """The running request that loses its blocks: the last one admitted (fcfs), or the one of the lowest
        priority and, among these, of the latest arrival (priority).

        Waiting requests do not count: a waiting request of high priority takes nothing from a running one of
        low priority. Among equals max takes the first, as vLLM's does.
        """
        if self.limits.policy == "fcfs":
            return self.running[-1]
        return max(self.running, key=lambda request: (request.priority, request.arrival_time))

    def admit(self, output: SchedulerOutput, budget: int) -> None:
        """Start waiting requests in order until one cannot start: it blocks all behind it."""
        while self.waiting and budget > 0 and len(self.running) < self.limits.max_num_seqs:
            request = self.waiting.peek()
            cached = self.blocks.find_cached(request)
            num_cached = len(cached) * self.blocks.block_size
            num_new = request.num_tokens - num_cached
            if num_new > budget and not self.limits.chunked_prefill:
                return
            if not self.blocks.can_start(request, cached):
                return
            num_new = min(num_new, budget)
            self.running.append(self.waiting.popleft())
            self.blocks.start(request, cached, num_cached + num_new)
            request.num_computed_tokens = num_cached
            if request.cached_tokens is None:  # vLLM's prefill_stats, too, keep those of the first admission
                request.cached_tokens = num_cached
            output.scheduled[request] = num_new
            budget -= num_new
