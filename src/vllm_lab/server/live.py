"""One of mini-vLLM's engines in real time: requests come and go, and every step lasts what the clock says.

A step is decided at its start and its tokens are booked at once; they are handed out when its time has
passed. Nothing sees the difference, as what arrives during a step waits for the next anyway.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from mini_vllm.errors import OutOfBlocks
from mini_vllm.limits import Limits
from mini_vllm.request import Request
from mini_vllm.tools.engines import ENGINES
from mini_vllm.tools.records import Step
from vllm_lab.server.telemetry import Telemetry


class EngineDeadError(Exception):
    """The engine has stopped for good, as v1 does without a free block; the message says why."""


class RefusedError(Exception):
    """The request could never finish under these limits; the message says why."""


@dataclass
class Generation:
    """A request that a client waits for. Times in s of the engine's clock."""

    request: Request
    events: asyncio.Queue[EngineDeadError | None] = field(default_factory=asyncio.Queue)  # None: a token
    handed_out: int = 0  # output tokens
    last: float | None = None  # when the last of them was


class LiveEngine:
    """`version` of mini-vLLM under `limits`, whose clock may be a fitted cost model. `run` is its life."""

    def __init__(self, version: str, limits: Limits, telemetry: Telemetry) -> None:
        self.engine = ENGINES[version]([], limits)
        self.telemetry = telemetry
        self.death: EngineDeadError | None = None
        self._generations: dict[str, Generation] = {}
        self._numbers = itertools.count()
        self._origin = time.perf_counter()
        self._work = asyncio.Event()
        scheduler, blocks = self.engine.scheduler, self.engine.blocks
        telemetry.watch(
            running=lambda: len(scheduler.running),
            waiting=lambda: len(scheduler.waiting),
            usage=lambda: 1 - blocks.num_free / blocks.num_usable,
        )

    async def run(self) -> None:
        """Step for ever, asleep while there is nothing to do. Returns when the engine dies."""
        while self.death is None:
            if self.engine.scheduler.has_requests():
                await self._step()
            else:
                self._work.clear()
                await self._work.wait()

    def add(self, prompt: Sequence[int], output: Sequence[int], priority: int) -> Generation:
        """Queue a request, to be answered with `output`. RefusedError, EngineDeadError."""
        if self.death is not None:
            raise self.death
        reason = self.engine.limits.refusal(len(prompt) + len(output))
        if reason is not None:
            raise RefusedError(f"a request of {len(prompt)} + {len(output)} tokens {reason}")
        request = Request(str(next(self._numbers)), self._now(), priority, prompt, output)
        generation = self._generations[request.request_id] = Generation(request)
        self.engine.scheduler.add(request)
        self._work.set()
        return generation

    async def tokens(self, generation: Generation) -> AsyncIterator[int]:
        """The output tokens' numbers, 0, 1, …, as they appear. Who stops listening calls `abort`."""
        for number in range(generation.request.output_tokens):
            death = await generation.events.get()
            if death is not None:
                raise death
            yield number

    def abort(self, generation: Generation) -> None:
        """Forget the request and free its memory; nothing to do if its last token was handed out."""
        request = generation.request
        if self._generations.pop(request.request_id, None) is None:
            return
        if not request.finished and self.death is None:
            self.engine.scheduler.abort(request)
        self.telemetry.aborted()

    def _now(self) -> float:
        return time.perf_counter() - self._origin

    async def _step(self) -> None:
        self.engine.now = max(self.engine.now, self._now())
        try:
            step = self.engine.step()
        except OutOfBlocks as error:
            self._die(str(error))
            return
        if step is not None:
            self.telemetry.scheduled(self._admitted(step), len(step.preempted))
            await asyncio.sleep(max(0.0, self.engine.now - self._now()))
            self._hand_out(step)

    def _admitted(self, step: Step) -> list[Request]:
        """Whom this step scheduled for the first time: what has computed no more than the step's tokens."""
        found = []
        for name, tokens in step.scheduled.items():
            request = self._generations[name].request
            first = (request.cached_tokens or 0) + tokens
            if not request.preemptions and request.num_computed_tokens == first:
                found.append(request)
        return found

    def _hand_out(self, step: Step) -> None:
        """Give the step's tokens to those who still wait for them."""
        now = self._now()
        for name in step.scheduled:
            generation = self._generations.get(name)
            if generation is None:
                continue  # its client left during the step
            request = generation.request
            if request.num_tokens - request.prompt_tokens == generation.handed_out:
                continue  # a chunk of a prompt, not its last
            before = request.arrival_time if generation.last is None else generation.last
            self.telemetry.token(now - before, generation.last is None)
            generation.handed_out += 1
            generation.last = now
            generation.events.put_nowait(None)
            if request.finished:
                del self._generations[name]
                self.telemetry.finished(now - request.arrival_time)

    def _die(self, reason: str) -> None:
        self.death = EngineDeadError(f"the engine stopped: {reason}")
        for generation in self._generations.values():
            generation.events.put_nowait(self.death)
