"""v1's scheduler, but a decode that finds no free block takes the least recently scheduled request's."""

from mini_vllm.request import Request
from mini_vllm.tools.ranges import nvtx_range
from mini_vllm.v1_naive import scheduler as v1
from mini_vllm.v1_naive.scheduler import SchedulerOutput


class Scheduler(v1.Scheduler):
    """Never OutOfBlocks: a request that could not fit alone is refused before it enters."""

    @nvtx_range("scheduler.schedule")
    def schedule(self) -> SchedulerOutput:
        """One token for every running request that keeps its blocks, then whole prompts while they fit."""
        output = SchedulerOutput()
        for request in list(self.running):
            if request in output.preempted:
                continue
            self.blocks.touch(request)  # first, so that it never preempts itself
            while not self.blocks.can_allocate(request, request.num_tokens):
                self.preempt(self.blocks.holders.first(), request, output)
            self.blocks.allocate(request, request.num_tokens)
            output.scheduled[request] = 1
        if not output.preempted:  # otherwise the victim would come straight back
            self.admit(output)
        return output

    def admit(self, output: SchedulerOutput) -> None:
        """v1's admission. The requests that start are scheduled, so they become the most recent."""
        before = len(self.running)
        super().admit(output)
        for request in self.running[before:]:
            self.blocks.touch(request)

    def preempt(self, victim: Request, needy: Request, output: SchedulerOutput) -> None:
        """Take a running request's blocks for `needy`. The victim waits before all others and starts over.

        The output tokens that it has generated stay and are computed again together with its prompt. Mirrors
        Scheduler._preempt_request: vLLM, too, recomputes and never swaps.
        """
        self.running.remove(victim)
        output.scheduled.pop(victim, None)
        output.preempted[victim] = needy
        self.blocks.release(victim)
        victim.num_computed_tokens = 0
        victim.preemptions += 1
        self.waiting.appendleft(victim)
