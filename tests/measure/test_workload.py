"""The requests of the tests: how much they share, exactly."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_vllm.limits import Limits
from vllm_lab.load.prediction import SharedTokens, shared_tokens
from vllm_lab.measure.workload import ample_limits, poisson, uniform, with_shared_prefix


def test_70_of_100_requests_share_80_per_cent_of_their_prompt_and_nobody_anything_else():
    requests = with_shared_prefix(uniform(100, 160, 2, 50_000, 0), 0.7, 0.8, vocabulary=50_000, seed=0)
    openings = Counter(tuple(row.prompt[:128]) for row in requests)
    assert sorted(openings.values()) == [*[1] * 30, 70]
    assert len({tuple(row.prompt[128:]) for row in requests}) == 100
    assert shared_tokens(requests, 32) == SharedTokens(69 * 128, 69 * 128)  # the first finds nothing


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
    assert shared_tokens(requests, block).prompts == total


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
