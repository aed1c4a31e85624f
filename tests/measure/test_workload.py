"""The requests of the tests: how much they share, exactly."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_vllm.limits import Limits
from vllm_lab.common.errors import LabError
from vllm_lab.measure.workload import ample_limits, choose, poisson, trace_of, uniform, with_shared_prefix
from vllm_lab.sharing.analysis import SharedTokens
from vllm_lab.traces.trace import Trace


def test_70_of_100_requests_share_80_per_cent_of_their_prompt_and_nobody_anything_else():
    requests = with_shared_prefix(uniform(100, 160, 2, 50_000, 0), 0.7, 0.8, vocabulary=50_000, seed=0)
    openings = Counter(tuple(row.prompt[:128]) for row in requests)
    assert sorted(openings.values()) == [*[1] * 30, 70]
    assert len({tuple(row.prompt[128:]) for row in requests}) == 100
    assert SharedTokens.of(trace_of(requests), 32) == SharedTokens(
        69 * 128, 69 * 128
    )  # the first finds nothing


@given(
    count=st.integers(2, 12), prompt=st.integers(2, 90), block=st.integers(1, 40), seed=st.integers(0, 99),
    sharing=st.floats(0.2, 1), shared=st.floats(0.1, 1),
)  # fmt: skip
def test_what_is_shared_is_what_a_plain_loop_over_prefixes_finds(count, prompt, block, seed, sharing, shared):
    """A small vocabulary, so that prompts also share by chance."""
    requests = with_shared_prefix(
        uniform(count, prompt, 1, 2, seed), sharing, shared, vocabulary=2, seed=seed
    )
    seen: set[tuple[int, ...]] = set()
    total = 0
    for row in requests:
        ends = range(block, len(row.prompt), block)  # the block with the last token is always computed
        total += max((end for end in ends if tuple(row.prompt[:end]) in seen), default=0)
        seen.update(tuple(row.prompt[:end]) for end in range(block, len(row.prompt) + 1, block))
    assert SharedTokens.of(trace_of(requests), block).prompts == total


def test_the_seed_decides_everything():
    assert uniform(3, 5, 2, 100, seed=7) == uniform(3, 5, 2, 100, seed=7)
    assert uniform(3, 5, 2, 100, seed=7) != uniform(3, 5, 2, 100, seed=8)


def test_arrivals_begin_at_0_and_come_at_the_rate_asked_for():
    arrivals = [row.arrival_time for row in poisson(uniform(4000, 1, 1, 10, 0), 5.0, seed=0)]
    assert arrivals[0] == 0
    assert arrivals == sorted(arrivals)
    assert 3999 / arrivals[-1] == pytest.approx(5, rel=0.05)


def test_ample_limits_hold_every_request_whole():
    requests = uniform(3, 33, 31, 100, 0)  # 64 tokens: two blocks of 32
    assert ample_limits(requests, 32, 4, 64) == Limits(7, 32, 4, 64)


def conversations() -> Trace:
    """20 conversations of three turns, prompts of 10 to 48 tokens, arrivals in another order than ids."""
    rows = [(number % 20, number // 20 + 1) for number in range(60)]
    return Trace.from_requests(
        [[conversation] * (10 * turn + 3 * (conversation % 7)) for conversation, turn in rows],
        [[turn] * (1 + conversation) for conversation, turn in rows],
        [float((number * 37) % 60) for number in range(60)],
        conversation_id=[f"c{conversation}" for conversation, _ in rows],
    )


@pytest.mark.parametrize(
    ("seed", "ids"),
    [(0, "10 23 54 12 30 9 14 6 11 3 29 34"), (7, "5 18 23 36 2 4 22 1 6 11 3 16")],
)
def test_a_seed_chooses_the_requests_that_it_chose_in_recorded_results(seed, ids):
    """The ids were recorded before all stages chose their requests with one function."""
    chosen = choose(conversations(), 12, 30, 8, seed)
    assert [row.request_id for row in chosen] == [f"r{number}" for number in ids.split()]
    assert max(len(row.prompt) for row in chosen) <= 30
    assert max(len(row.output) for row in chosen) == 8


def test_too_few_short_requests_are_an_error_that_says_how_many_there_are():
    with pytest.raises(LabError, match="has 3 requests of at most 12 prompt tokens, but 8 are needed"):
        choose(conversations(), 8, 12, 8, seed=0)
