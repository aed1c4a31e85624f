"""The life of one request, a line for each change: why it was admitted, waited, was preempted, hit the cache.

The schedulers keep no reasons. They follow from the state after a decision, and the words for them are here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from mini_vllm.errors import MiniError, OutOfBlocks
from mini_vllm.request import Request
from mini_vllm.v1_naive.engine import Engine
from mini_vllm.v1_naive.scheduler import SchedulerOutput
from mini_vllm.v3_priority.engine import Engine as PriorityEngine
from mini_vllm.v4_prefix.prefix_cache import Node, PrefixCache


def explain(engine: Engine, request_id: str) -> Iterator[str]:
    """Run `engine` until `request_id` is finished and yield what happens to it. MiniError if unknown."""
    for request, why in engine.refused:
        if request.request_id == request_id:
            yield f"refused: {why}"
            return
    request = next((request for request in engine.coming if request.request_id == request_id), None)
    if request is None:
        raise MiniError(f"request {request_id!r} is not in the trace; ids are its request_id column")
    yield from _Story(engine, request, request.arrival_time).lines()


@dataclass
class _Story:
    """The run as one request sees it."""

    engine: Engine
    request: Request
    since: float  # s; when it began to wait
    waits: str = ""  # the last reason given, so that a long wait is one line
    waited: float = 0.0  # s, in all
    lost: int = 0  # computed tokens when it was preempted
    recomputed: int = 0  # tokens, in all
    evicted: dict[str, int] = field(default_factory=dict)  # name of a block -> the last step that evicted it

    def lines(self) -> Iterator[str]:
        engine, request = self.engine, self.request
        yield (
            f"arrives at {request.arrival_time:.6g} s, priority {request.priority}, "
            f"{request.prompt_tokens} prompt tokens, {request.output_tokens} output tokens"
        )
        while not request.finished and engine.enter():
            head = f"step {engine.steps} ({engine.now:.6g} s)"
            here = request.arrival_time <= engine.now
            before = request.num_computed_tokens, bool(request.block_table)
            try:
                output = engine.scheduler.schedule()
            except OutOfBlocks as error:
                yield f"{head}: the run ends, {error}"
                return
            self.evicted |= dict.fromkeys(engine.blocks.take_evicted(), engine.steps)
            if here:
                for text in self._decision(output, *before):
                    yield f"{head}: {text}"
            generated = request.num_tokens
            engine.finish_step(output)
            if request.finished:
                yield f"{head}: finishes at {engine.now:.6g} s, its blocks are free again"
            elif generated == request.prompt_tokens < request.num_tokens:
                yield f"{head}: first token at {engine.now:.6g} s"
        yield (
            f"in all: waited {self.waited:.6g} s, preempted {request.preemptions} times, "
            f"{request.cached_tokens} of {request.prompt_tokens} prompt tokens cached, "
            f"{self.recomputed} tokens computed again, "
            f"TTFT {request.first_token_time - request.arrival_time:.6g} s, "
            f"E2E {request.last_token_time - request.arrival_time:.6g} s"
        )

    def _decision(self, output: SchedulerOutput, computed: int, was_running: bool) -> Iterator[str]:
        request = self.request
        if request in output.preempted:
            self.waits, self.since, self.lost = "", self.engine.now, computed
            needy = output.preempted[request]
            who = "it needs a block itself" if needy is request else f"{needy.request_id} needs a block"
            yield (
                f"preempted: {who}, none is free, and this one {self._victim_rule()}; "
                f"loses {computed} computed tokens and starts over"
            )
        elif request in output.scheduled:
            new = output.scheduled[request]
            if not was_running:
                yield self._admission(new)
            elif new > 1:
                yield f"computes {new} more prompt tokens, {computed + new} of {request.num_tokens}"
        elif was_running:
            yield "runs, but gets no token: the budget is spent, or the loop ended at a preempted request"
        else:
            reason = self._waiting_reason(output)
            if reason != self.waits:
                self.waits = reason
                yield f"waits: {reason}"

    def _victim_rule(self) -> str:
        if not isinstance(self.engine, PriorityEngine):
            return "was scheduled least recently"
        if self.engine.limits.policy == "fcfs":
            return "is the last in the running list"
        return "has the lowest priority, or the latest arrival of these, among the running"

    def _admission(self, new: int) -> str:
        request, blocks = self.request, self.engine.blocks
        waited, cached = self.engine.now - self.since, request.num_computed_tokens
        again = max(0, self.lost - cached)
        self.waits = ""
        self.waited += waited
        self.recomputed += again
        return (
            f"admitted after {waited:.6g} s: {cached or 'no'} tokens from the cache{self._miss(cached)}, "
            f"computes {new} of {request.num_tokens}, "
            + (f"{again} of its tokens for the second time, " if again else "")
            + f"holds {len(request.block_table)} blocks, {blocks.num_free} are free"
        )

    def _miss(self, cached: int) -> str:
        """Why not more than the first `cached` tokens were found, in brackets."""
        request, size = self.request, self.engine.blocks.block_size
        cache: PrefixCache | None = getattr(self.engine.blocks, "cache", None)
        index = cached // size  # of the block that was not found
        if cache is None:
            return " (there is none)"
        if index == (request.num_tokens - 1) // size:
            return " (all it could use: its last token must be computed)"
        parent = cache.node_of[request.block_table[index - 1]] if index else cache.root
        tokens = request.block(size, index)
        step = self.evicted.get(cache.name(Node(parent, tokens)))
        if step is not None:
            return f" (block {index + 1} was evicted at step {step})"
        others = [other for other in parent.children if other != tokens]
        if not others:
            return f" (nobody had its block {index + 1} before)"
        equal = max(_equal_ids(tokens, other) for other in others) * request.tokens_per_id
        after = f"it parts from the others after token {cached + equal}"
        return f" (nobody had its block {index + 1} before: {after})"

    def _waiting_reason(self, output: SchedulerOutput) -> str:
        """The obstacle of the first in the queue, and its name if it is another request."""
        first = next(iter(self.engine.scheduler.waiting))
        obstacle = self._obstacle(first, output)
        return obstacle if first is self.request else f"{first.request_id} is before it ({obstacle})"

    def _obstacle(self, first: Request, output: SchedulerOutput) -> str:
        """Why `first`, the first in the queue, did not start in a step that decided `output`."""
        limits, blocks = self.engine.limits, self.engine.blocks
        left = limits.max_num_batched_tokens - sum(output.scheduled.values())
        if output.preempted:
            return "a request was preempted in this step"
        if left == 0:
            return "the step has no tokens left"
        if len(self.engine.scheduler.running) >= limits.max_num_seqs:
            return "max_num_seqs requests are running"
        cached = blocks.find_cached(first) if isinstance(self.engine, PriorityEngine) else []
        needed = first.num_tokens - len(cached) * blocks.block_size
        if needed > left and not limits.chunked_prefill:
            return f"the step has {left} tokens left, it needs {needed} and prefill is not chunked"
        return f"only {blocks.num_free} blocks are free"


def _equal_ids(one: bytes, other: bytes) -> int:
    """How many leading int32 ids are equal; not all are."""
    return int(np.argmax(np.frombuffer(one, "<i4") != np.frombuffer(other, "<i4")))
