"""Small workloads, which can be drawn at random, printed as code, and made smaller while they still fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random

from mini_vllm.clock import Clock, CostModel
from mini_vllm.errors import MiniError
from mini_vllm.limits import Limits
from vllm_lab.replay.replay import TracedRequest

STREAM_IDS = 1_000_000  # token ids reserved for each stream, so that two streams never share one
MOST_STEPS = 400  # about: a budget of 1 token would make the longest workloads slow and show nothing new
CLOCKS = (
    Clock(0.01, 0.00001, 0.0001),
    Clock(1.0, 0.0, 0.0),
    Clock(0.0, 0.001, 0.0),
    Clock(0.0, 0.0, 0.0),
    CostModel(0.005, 0.0004, 0.003, 0.000002),
)


@dataclass(frozen=True)
class Ask:
    """A request in few numbers: a prefix of a shared stream, then tokens of its own, then its output.

    If it has no tokens of its own, its output continues the shared stream. Another request's prompt can then
    contain that output, as the next turn of a conversation does.
    """

    request_id: str
    arrival: float  # s
    priority: int
    stream: int  # which shared stream
    shared: int  # prompt tokens from it
    own: int  # prompt tokens after that, seen in no other request; shared + own >= 1
    output: int  # tokens, >= 1

    @property
    def prompt_tokens(self) -> int:
        return self.shared + self.own

    def traced(self, streams: int, index: int) -> TracedRequest:
        """The whole request; `index` numbers it after the `streams` shared streams."""
        base, alone = self.stream * STREAM_IDS, (streams + index) * STREAM_IDS
        prompt = [base + i for i in range(self.shared)] + [alone + i for i in range(self.own)]
        start = alone + self.own if self.own else base + self.shared
        output = [start + i for i in range(self.output)]
        return TracedRequest(self.request_id, self.arrival, self.priority, prompt, output)


@dataclass(frozen=True)
class Case:
    """One workload under one set of limits; its repr is the code that makes it."""

    limits: Limits
    asks: tuple[Ask, ...]

    def requests(self) -> list[TracedRequest]:
        """The requests with their tokens."""
        streams = 1 + max((ask.stream for ask in self.asks), default=0)
        return [ask.traced(streams, index) for index, ask in enumerate(self.asks)]


def random_case(seed: str, prefix_caching: bool) -> Case:
    """The workload for `seed`: the same on every machine."""
    rng = Random(seed)
    block_size = rng.choice([8, 8, 16, 16, 32, 64, 128, rng.randint(8, 128)])
    asks = _asks(rng, block_size)
    return Case(_limits(rng, asks, block_size, prefix_caching), asks)


def _asks(rng: Random, block_size: int) -> tuple[Ask, ...]:
    count = rng.choice([rng.randint(1, 4), rng.randint(3, 12), rng.randint(8, 40)])
    streams = rng.choice([1, 1, 2, 4])
    arrivals = _arrivals(rng, count)
    priorities = rng.choice([[0], [0, 1], [-1, 0, 1, 2, 3], list(range(count))])
    return tuple(_ask(rng, index, arrivals[index], priorities, streams, block_size) for index in range(count))


def _ask(
    rng: Random, index: int, arrival: float, priorities: list[int], streams: int, block_size: int
) -> Ask:
    length = _length(rng, block_size)
    shared = rng.choice([0, length, rng.randint(0, length), min(length, length // block_size * block_size)])
    output = rng.choice([1, *(rng.randint(1, most * block_size + 2) for most in (1, 2, 3, 4))])
    # Ids are not in order of arrival: vLLM breaks ties of priority and arrival by comparing ids as text.
    name = f"{rng.choice('abc')}{index}"
    return Ask(name, arrival, rng.choice(priorities), rng.randrange(streams), shared, length - shared, output)


def _length(rng: Random, block_size: int) -> int:
    """Prompt tokens, >= 1: often one, a whole number of blocks, or one more or less than that."""
    blocks = rng.randint(1, 6) * block_size
    return rng.choice([1, blocks, blocks + 1, max(1, blocks - 1), rng.randint(1, blocks)])


def _arrivals(rng: Random, count: int) -> list[float]:
    """Seconds: all at once, in bursts, or one by one."""
    kind = rng.choice(["at once", "bursts", "poisson"])
    if kind == "at once":
        return [0.0] * count
    if kind == "bursts":
        return [rng.choice([0.0, 0.05, 0.2, 1.0]) for _ in range(count)]
    rate, now, times = rng.choice([2.0, 20.0, 200.0]), 0.0, []
    for _ in range(count):
        now += rng.expovariate(rate)
        times.append(now)
    return times


def _limits(rng: Random, asks: tuple[Ask, ...], block_size: int, prefix_caching: bool) -> Limits:
    held = [ask.prompt_tokens + ask.output - 1 for ask in asks]
    needed = [-(-tokens // block_size) for tokens in held]
    usable = rng.choice(
        [
            max(needed),  # the largest request takes the whole cache
            max(needed),
            max(needed) + rng.randint(1, 3),
            max(needed) + rng.randint(1, 3),
            rng.randint(1, 12),  # some are refused
            rng.randint(max(needed), max(needed) + sum(needed)),
            sum(needed) + 1,
        ]
    )
    chunked = rng.random() < 0.7
    max_num_seqs = rng.choice([1, 2, 3, 8, 8, 64, 64])
    budget = rng.choice([1, block_size, rng.randint(1, 4 * block_size), max(held), 2 * max(held), 8192])
    if not chunked and rng.random() < 0.7:
        budget = max(budget, max(held))
    return Limits(
        num_blocks=usable + 1,
        block_size=block_size,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max(budget, max_num_seqs, sum(held) // MOST_STEPS),
        policy=rng.choice(["fcfs", "priority"]),
        prefix_caching=prefix_caching,
        chunked_prefill=chunked,
        clock=rng.choice(CLOCKS),
    )


def shrink(case: Case, fails: Callable[[Case], bool], tries: int = 2000) -> Case:
    """The smallest failing case found within `tries` calls of `fails`, which holds for `case` itself."""
    while True:
        for smaller in _smaller(case):
            if tries == 0:
                return case
            tries -= 1
            if fails(smaller):
                case = smaller
                break
        else:
            return case


def _smaller(case: Case) -> Iterator[Case]:
    """Simpler cases, the largest change first."""
    yield from _fewer_requests(case)
    for index, ask in enumerate(case.asks):
        for simpler in _simpler_asks(ask):
            yield replace(case, asks=(*case.asks[:index], simpler, *case.asks[index + 1 :]))
    for limits in _simpler_limits(case.limits):
        yield replace(case, limits=limits)


def _fewer_requests(case: Case) -> Iterator[Case]:
    """The case without some neighbouring requests: halves first, single requests last."""
    size = len(case.asks) // 2
    while size:
        for start in range(0, len(case.asks), size):
            yield replace(case, asks=case.asks[:start] + case.asks[start + size :])
        size //= 2


def _simpler_asks(ask: Ask) -> Iterator[Ask]:
    for name, least in (("arrival", 0.0), ("priority", 0), ("stream", 0)):
        if getattr(ask, name) != least:
            yield replace(ask, **{name: least})
    for name, least in (("output", 1), ("own", 0), ("shared", 0)):
        for value in _lower(getattr(ask, name), least):
            simpler = replace(ask, **{name: value})
            if simpler.prompt_tokens >= 1:
                yield simpler


def _simpler_limits(limits: Limits) -> Iterator[Limits]:
    changes = [{"policy": "fcfs"}, {"chunked_prefill": True}, {"clock": Clock(1.0, 0.0, 0.0)}]
    changes += [{"num_blocks": value} for value in _lower(limits.num_blocks, 2)]
    changes += [{"max_num_seqs": value} for value in _lower(limits.max_num_seqs, 1)]
    changes += [{"max_num_batched_tokens": value} for value in _lower(limits.max_num_batched_tokens, 1)]
    for change in changes:
        if any(getattr(limits, name) != value for name, value in change.items()):
            try:
                yield replace(limits, **change)
            except MiniError:
                continue  # vLLM does not take such limits: nothing to try


def _lower(value: int, least: int) -> Iterator[int]:
    """Numbers from `least` up to value - 1; each halves the distance to `value`."""
    distance = value - least
    while distance > 0:
        yield value - distance
        distance //= 2
