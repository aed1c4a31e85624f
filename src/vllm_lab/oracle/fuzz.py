"""Random workloads through vLLM's scheduler and mini_vllm. A difference is shrunk and printed as a test.

`random_case` draws a workload, `judge` replays it on both sides, `shrink` makes it smaller while it fails.
"""

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from random import Random

from mini_vllm.clock import Clock, CostModel
from mini_vllm.errors import MiniError
from mini_vllm.limits import Limits
from mini_vllm.tools.versions import VERSIONS
from vllm_lab.common.errors import LabError
from vllm_lab.oracle import engine
from vllm_lab.replay import mini
from vllm_lab.replay.comparison import compare
from vllm_lab.replay.replay import TracedRequest

MUST_BE_EQUAL = tuple(name for name, version in VERSIONS.items() if version.exact)
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
        """Tokens of the prompt."""
        return self.shared + self.own

    def traced(self, streams: int, index: int) -> TracedRequest:
        """The whole request; `index` numbers it after the `streams` shared streams."""
        base, alone = self.stream * STREAM_IDS, (streams + index) * STREAM_IDS
        prompt = [*range(base, base + self.shared), *range(alone, alone + self.own)]
        output = range(prompt[-1] + 1, prompt[-1] + 1 + self.output)
        return TracedRequest(self.request_id, self.arrival, self.priority, prompt, list(output))


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
    count = rng.choice([rng.randint(1, 4), rng.randint(3, 12), rng.randint(8, 40)])
    streams = rng.choice([1, 1, 2, 4])
    arrivals = _arrivals(rng, count)
    priorities = rng.choice([[0], [0, 1], [-1, 0, 1, 2, 3], list(range(count))])
    asks = []
    for index, arrival in enumerate(arrivals):
        blocks = rng.randint(1, 6) * block_size
        length = rng.choice([1, blocks, blocks + 1, max(1, blocks - 1), rng.randint(1, blocks)])
        whole_blocks = length // block_size * block_size
        shared = rng.choice([0, length, rng.randint(0, length), whole_blocks])
        output = rng.choice([1, *(rng.randint(1, most * block_size + 2) for most in (1, 2, 3, 4))])
        # Ids are not in order of arrival: vLLM breaks ties of priority and arrival by comparing ids as text.
        name = f"{rng.choice('abc')}{index}"
        priority, stream = rng.choice(priorities), rng.randrange(streams)
        asks.append(Ask(name, arrival, priority, stream, shared, length - shared, output))
    return Case(_limits(rng, asks, block_size, prefix_caching), tuple(asks))


def _arrivals(rng: Random, count: int) -> list[float]:
    """Seconds: all at once, in bursts, or one by one."""
    kind = rng.choice(["at once", "bursts", "poisson"])
    if kind == "at once":
        return [0.0] * count
    if kind == "bursts":
        return [rng.choice([0.0, 0.05, 0.2, 1.0]) for _ in range(count)]
    rate = rng.choice([2.0, 20.0, 200.0])
    return list(accumulate(rng.expovariate(rate) for _ in range(count)))


def _limits(rng: Random, asks: Sequence[Ask], block_size: int, prefix_caching: bool) -> Limits:
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


@dataclass(frozen=True)
class Verdict:
    """The result of one case, and which hard situations of scheduling it met."""

    version: str
    case: Case
    failure: str | None  # the comparison's report, or mini_vllm's traceback; None if equal
    steps: int
    preemptions: int
    evictions: int
    refused: int


def fuzz(version: str, count: int, seed: int) -> Iterator[Verdict]:
    """Yield the verdicts of cases 0 to count - 1 of `seed`; caching is on for a version that caches."""
    for number in range(count):
        yield judge(version, random_case(f"{seed}/{number}", VERSIONS[version].caches))


def judge(version: str, case: Case) -> Verdict:
    """Replay one case on both sides."""
    requests = case.requests()
    oracle = engine.run(requests, case.limits)
    try:
        replayed = mini.run(version, requests, case.limits)
    except LabError:  # a mistake in the call, and no finding about mini_vllm
        raise
    except Exception:  # every fault of mini_vllm is a finding and is reported in full
        failure = traceback.format_exc()
    else:
        comparison = compare(oracle, replayed)
        failure = None if comparison.equal else comparison.report()
    preemptions = sum(len(step.preempted) for step in oracle.steps)
    evictions = sum(len(step.evicted) for step in oracle.steps)
    return Verdict(version, case, failure, len(oracle.steps), preemptions, evictions, len(oracle.refused))


def summary(version: str, verdicts: Sequence[Verdict]) -> str:
    """One line: how many cases are equal, and how many of them met what makes scheduling hard."""
    unequal = sum(verdict.failure is not None for verdict in verdicts)
    met = ", ".join(
        f"{sum(getattr(verdict, name) > 0 for verdict in verdicts)} with {name}"
        for name in ("preemptions", "evictions", "refused")
    )
    return (
        f"{version}: {len(verdicts) - unequal} of {len(verdicts)} cases equal, {unequal} not "
        f"({met}; {sum(verdict.steps for verdict in verdicts)} steps)"
    )


def as_test(verdict: Verdict, number: int, seed: int) -> str:
    """The failing case `number` of `seed`, shrunk, as a test function to paste under tests/oracle."""
    version = verdict.version
    small = shrink(verdict.case, lambda case: judge(version, case).failure is not None)
    asks = "".join(f"\n            {ask!r}," for ask in small.asks)
    return (
        f"def test_{version}_takes_vllms_decisions_in_case_{number}_of_seed_{seed}():\n"
        f"    case = Case(\n        {small.limits!r},\n        ({asks}\n        ),\n    )\n"
        f'    assert judge("{version}", case).failure is None\n'
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
    for name, least in (("num_blocks", 2), ("max_num_seqs", 1), ("max_num_batched_tokens", 1)):
        changes += [{name: value} for value in _lower(getattr(limits, name), least)]
    for change in changes:
        try:
            simpler = replace(limits, **change)
        except MiniError:
            continue  # vLLM does not take such limits: nothing to try
        if simpler != limits:
            yield simpler


def _lower(value: int, least: int) -> Iterator[int]:
    """Numbers from `least` up to value - 1; each halves the distance to `value`."""
    distance = value - least
    while distance > 0:
        yield value - distance
        distance //= 2
