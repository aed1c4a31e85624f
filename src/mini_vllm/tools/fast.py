"""The same run in less time: a decoding request is looked at only when something happens to it.

The readable loop (Engine.run) visits every running request in every step. Most of these visits decide
nothing: the request computes one token in a block that it has. This loop keeps a calendar of when each
decoding request next needs a block, fills one, or ends, and visits only those. In between, it only adds to
the clock. The version's own scheduler and block manager still take every decision:

- A step in which a decode finds no free block goes through Engine.step unchanged.
- An unfinished prefill and the waiting requests go through schedule_running and admit. Only the last running
  request can be an unfinished prefill: it got less than it lacks because it took the last of the budget.
- A waiting request that was not admitted is tried again only when the answer can be different: after a
  finish, a preemption, an admission, a change of the first in the queue, or when a decoding request fills a
  block that could continue its prefix. Everything else that a decode does takes blocks away.

tests/mini/test_fast.py proves that both loops write the same bytes.
"""

from collections import defaultdict
from collections.abc import Iterator
from operator import add

from mini_vllm.clock import StepLoad
from mini_vllm.errors import OutOfBlocks
from mini_vllm.request import Request
from mini_vllm.tools.records import Step
from mini_vllm.v1_naive.scheduler import SchedulerOutput
from mini_vllm.v3_priority.engine import Engine
from mini_vllm.v4_prefix.block_manager import BlockManager


class Decoding:
    """The running requests that compute one token in every step, in running order, and their calendar.

    `step` counts steps, and the computed tokens of a request are `step + base`, so that no request's counter
    has to be increased in each step. `base % size` is the request's phase: it gives the steps in which it
    opens a block. With blocks of 4 tokens and base 6, a request has 6 computed tokens before step 0. It fills
    its second block in step 1 (7 computed before, this one is the 8th), opens its third in step 2 (8
    computed), and opens the next one in step 6.
    """

    def __init__(self, size: int) -> None:
        self.size = size  # tokens in a block
        self.step = 0
        self.base: dict[Request, int] = {}
        self.by_phase: defaultdict[int, list[Request]] = defaultdict(list)
        self.ends: defaultdict[int, list[Request]] = defaultdict(list)  # step -> the requests it finishes
        self.base_sum = 0
        self.names: dict[str, int] = {}  # request id -> 1
        self.shown: dict[str, int] | None = None  # a copy of `names` that records share

    def join(self, request: Request) -> None:
        """`request`, the last of the running, lacks one token from the coming step on."""
        base = self.base[request] = request.num_computed_tokens - self.step
        self.by_phase[base % self.size].append(request)
        self.ends[request.total_tokens - 2 - base].append(request)
        self.base_sum += base
        self.names[request.request_id] = 1
        self.shown = None

    def take_finished(self, now: float) -> list[Request]:
        """The requests whose last token appeared with the step that ended at `now` (s); they leave."""
        finished = self.ends.pop(self.step - 1, [])
        for request in finished:
            self.settle(request)
            request.last_token_time = now
            base = self.base.pop(request)
            self.by_phase[base % self.size].remove(request)
            self.base_sum -= base
            del self.names[request.request_id]
            self.shown = None
        return finished

    def settle(self, request: Request) -> None:
        """Write into `request` how far it has come."""
        request.num_computed_tokens = self.step + self.base[request]
        request.num_tokens = request.num_computed_tokens + 1

    @property
    def context_tokens(self) -> int:
        """Computed tokens of all of them."""
        return self.base_sum + self.step * len(self.base)

    def scheduled(self) -> dict[str, int]:
        """Tokens by request id in a step: one each."""
        if self.shown is None:
            self.shown = self.names.copy()
        return self.shown


class FastRun:
    """A run of `engine` (v3 or v4). Requests are up to date when the run is over, not before."""

    def __init__(self, engine: Engine, record: bool = True) -> None:
        """Without `record`, the run yields no steps."""
        self.engine = engine
        self.blocks = engine.blocks
        self.scheduler = engine.scheduler
        self.caches = isinstance(self.blocks, BlockManager)  # else no block is worth filling
        self.record = record
        self.decoding = Decoding(engine.limits.block_size)
        self.head: Request | None = None  # the first of the waiting, when last looked at
        self.blocked = False  # `head` could not be admitted and still cannot, or nothing waits
        self.decode_seconds: Iterator[float] | None = None  # of the coming steps, if they only decode

    def steps(self) -> Iterator[Step]:
        """What Engine.run yields. Steps in a row may share one `scheduled` map: do not change it."""
        engine, scheduler = self.engine, self.scheduler
        while True:
            if not scheduler.running or (engine.coming and engine.coming[-1].arrival_time <= engine.now):
                if not engine.enter():
                    return
                self.look_at_head()
            if not self.serve_decoding():
                step = self.plain_step()
            elif not self.blocked:
                step = self.schedule_others()
            elif self.decoding.step in self.decoding.ends:
                step = self.finish_step(SchedulerOutput())
            else:
                step = self.pass_step()
            if self.record and step is not None:
                yield step

    def look_at_head(self) -> None:
        """The waiting requests have changed: another one may be the first."""
        head = self.scheduler.waiting.peek() if self.scheduler.waiting else None
        if head is not self.head:
            self.head = head
            self.blocked = False

    def serve_decoding(self) -> bool:
        """Blocks for the decoding requests' tokens. False if one finds no block, or no request decodes."""
        decoding, head, size = self.decoding, self.head, self.decoding.size
        opening_phase = -decoding.step % size  # (base + step) % size == 0: a block's first token
        try:
            for request in decoding.by_phase[opening_phase]:
                self.blocks.allocate(request, decoding.step + decoding.base[request] + 1)
        except OutOfBlocks:
            # The requests before it in running order have their blocks, as they should. No request has
            # filled a block yet, because one of them may be the victim and lose its block unfilled.
            return False
        # In the readable loop, requests open and fill blocks in running order. The order does not matter: an
        # opened block was free, so it is not one of the blocks that are now filled and enter the cache.
        if self.caches:
            filling_phase = (opening_phase - 1) % size  # (base + step) % size == size - 1: its last
            for request in decoding.by_phase[filling_phase]:
                num_tokens = decoding.step + decoding.base[request] + 1
                self.blocks.cache_blocks(request, num_tokens)
                index = num_tokens // size - 1  # of the block that is filled
                if head is not None and request.block(size, index) == head.block(size, index):
                    self.blocked = False  # `head` may find more in the cache
        return bool(decoding.base)

    def pass_step(self) -> Step | None:
        """A step that decides nothing but the blocks just served: time passes."""
        engine, decoding = self.engine, self.decoding
        if self.decode_seconds is None:
            clock = engine.limits.clock
            self.decode_seconds = clock.decode_seconds(len(decoding.base), decoding.context_tokens)
        start = engine.now
        engine.now = start + next(self.decode_seconds)
        decoding.step += 1
        engine.steps += 1
        return engine.record(start, decoding.scheduled(), [], []) if self.record else None

    def schedule_others(self) -> Step | None:
        """A last prefill and the waiting requests, by the version's own scheduler."""
        scheduler, decoders = self.scheduler, len(self.decoding.base)
        for request in scheduler.running[decoders:]:
            if not self.blocks.can_allocate(request, request.num_tokens):
                return self.plain_step()
        output = SchedulerOutput()
        budget = self.engine.limits.max_num_batched_tokens - decoders
        budget = scheduler.schedule_running(output, budget, start=decoders)
        scheduler.admit(output, budget)
        self.look_at_head()
        self.blocked = not output.scheduled  # else the next step may have something for others, too
        return self.finish_step(output)

    def finish_step(self, output: SchedulerOutput) -> Step | None:
        """Every decoding request computed a token, and `output` holds the others: as Engine.finish_step."""
        engine, decoding, others = self.engine, self.decoding, output.scheduled
        decoders = len(decoding.base)
        decoding.step += 1
        computed = (request.num_computed_tokens + new for request, new in others.items())
        load = StepLoad.of(others.values(), computed, (request.prompt_tokens for request in others))
        load = StepLoad(*map(add, load, (0, decoders, decoding.context_tokens, decoders)))
        start = engine.now
        engine.now = start + engine.limits.clock.seconds(load)
        self.decode_seconds = None
        scheduled = decoding.scheduled() if self.record else {}
        finished = decoding.take_finished(engine.now)
        for request in finished:
            self.blocks.release(request)
            self.scheduler.running.remove(request)
            self.blocked = False
        finished += self.scheduler.update(output, engine.now)
        self.join_decoding()
        engine.steps += 1
        if not self.record:
            self.blocks.take_evicted()
            return None
        scheduled = scheduled | {request.request_id: new for request, new in others.items()}
        return engine.record(start, scheduled, [], [request.request_id for request in finished])

    def plain_step(self) -> Step | None:
        """A step of the readable loop; afterwards find out again which requests decode."""
        for request in self.decoding.base:
            self.decoding.settle(request)
        step = self.engine.step()
        self.decoding = Decoding(self.decoding.size)
        self.join_decoding()
        self.blocked = False
        self.decode_seconds = None
        return step

    def join_decoding(self) -> None:
        """The running requests behind the decoding ones join them, but for an unfinished prefill."""
        for request in self.scheduler.running[len(self.decoding.base) :]:
            lacking = request.num_tokens - request.num_computed_tokens
            if lacking == 1 and request.first_token_time is not None:
                self.decoding.join(request)
