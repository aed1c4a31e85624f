"""Why one request was admitted, waited, was preempted, hit the cache: its life, a line for each change."""

from collections.abc import Iterator

from mini_vllm.errors import MiniError, OutOfBlocks
from mini_vllm.request import Request
from mini_vllm.v1_naive.engine import Engine
from mini_vllm.v1_naive.scheduler import SchedulerOutput


def explain(engine: Engine, request_id: str) -> Iterator[str]:
    """Run `engine` until `request_id` is finished and tell what happens to it. MiniError if it is unknown."""
    for request, why in engine.refused:
        if request.request_id == request_id:
            yield f"refused: {why}"
            return
    named = [request for request in engine.coming if request.request_id == request_id]
    if not named:
        raise MiniError(f"request {request_id!r} is not in the trace; ids are its request_id column")
    yield from _Story(engine, named[0]).lines()


class _Story:
    """The run as one request sees it."""

    def __init__(self, engine: Engine, request: Request) -> None:
        self.engine = engine
        self.request = request
        self.waits = ""  # the last reason told, so that a long wait is one line

    def lines(self) -> Iterator[str]:
        request = self.request
        yield (
            f"arrives at {request.arrival_time:.6g} s, priority {request.priority}, "
            f"{request.prompt_tokens} prompt tokens, {request.output_tokens} output tokens"
        )
        while not request.finished and self.engine.enter():
            if request.arrival_time > self.engine.now:
                self.engine.step()
                continue
            head = f"step {self.engine.steps} ({self.engine.now:.6g} s)"
            before = request.num_computed_tokens, bool(request.block_table)
            try:
                output = self.engine.scheduler.schedule()
            except OutOfBlocks as error:
                yield f"{head}: the run ends, {error}"
                return
            for text in self._decision(output, *before):
                yield f"{head}: {text}"
            generated = request.num_tokens
            self.engine.finish_step(output)
            if request.finished:
                yield f"{head}: finishes at {self.engine.now:.6g} s, its blocks are free again"
            elif generated == request.prompt_tokens < request.num_tokens:
                yield f"{head}: first token at {self.engine.now:.6g} s"

    def _decision(self, output: SchedulerOutput, computed: int, was_running: bool) -> Iterator[str]:
        request, blocks = self.request, self.engine.blocks
        if request in output.preempted:
            self.waits = ""
            yield (
                f"preempted: a running request found no free block, and this one "
                f"{self.engine.scheduler.victim_rule}; loses {computed} computed tokens and starts over"
            )
        elif request in output.scheduled:
            new = output.scheduled[request]
            if not was_running:
                self.waits = ""
                cached = request.num_computed_tokens
                hit = f"{cached} tokens from the cache, " if cached else "nothing from the cache, "
                yield (
                    f"admitted: {hit}computes {new} of {request.num_tokens}, holds "
                    f"{len(request.block_table)} blocks, {blocks.num_free} are free"
                )
            elif new > 1:
                yield f"computes {new} more prompt tokens, {computed + new} of {request.num_tokens}"
        elif was_running:
            yield "runs, but gets no token: the budget is spent, or the loop ended at a preempted request"
        else:
            reason = self._waiting_reason()
            if reason != self.waits:
                self.waits = reason
                yield f"waits: {reason}"

    def _waiting_reason(self) -> str:
        """Its own obstacle if it stands first, else who stands before it."""
        ahead = list(self.engine.scheduler.waiting)
        place = ahead.index(self.request)
        if place == 0:
            return self.engine.scheduler.blocked
        return f"{ahead[0].request_id} stands before it ({self.engine.scheduler.blocked})"
