"""Cache sweeps: the policies against plain simulations, bounds and a library."""

import itertools
import math

import libcachesim
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sharing.small_traces import block_traces, leading_run, make_trace, paths_of, token_traces
from vllm_lab.common.errors import LabError
from vllm_lab.sharing.analysis import Sharing
from vllm_lab.sharing.figures import hit_rate_curves, hit_rate_heatmap, policy_styles
from vllm_lab.sharing.metrics import SWEEP_COLUMNS
from vllm_lab.sharing.policies import POLICIES, Policy
from vllm_lab.sharing.sweep import hits_of, library_hits, sweep_rows
from vllm_lab.traces.prefix_tree import BlockPaths, StreamOrder, cached_blocks

capacities = st.integers(1, 30)


def plain_hits(paths, policy, capacity):
    """Hits of each request, with a dictionary and a sort for every eviction."""
    cache = {}  # block -> [count, last access, insertion]
    rank = {
        "lru": lambda block: (cache[block][1],),
        "fifo": lambda block: (cache[block][2],),
        "lfu": lambda block: (cache[block][0], cache[block][1]),
        "length_aware": lambda block: (-len(block), cache[block][1]),
    }[policy]
    hits = []
    for row, path in enumerate(paths):
        hits.append(leading_run(path, cache.keys()))
        kept = path[:capacity]
        for block in kept:
            entry = cache.setdefault(block, [0, row, row])
            entry[:2] = entry[0] + 1, row
        others = sorted(
            (block for block in cache if block not in kept), key=lambda block: (*rank(block), -len(block))
        )
        for block in others[: max(0, len(cache) - capacity)]:
            del cache[block]
    return hits


@given(token_traces(), st.integers(1, 3))
def test_paths_expand_to_each_prompts_blocks_numbered_by_first_access(trace, block_size):
    number = {}
    expected = [
        [number.setdefault(block, len(number)) for block in path] for path in paths_of(trace, block_size)
    ]
    paths = cached_blocks(trace, block_size)
    assert [paths.block[a:b].tolist() for a, b in itertools.pairwise(paths.offsets)] == expected
    assert paths.distinct == len(number)


@given(token_traces(), capacities, st.sampled_from(["lru", "fifo", "lfu", "length_aware"]))
def test_each_policy_equals_its_plain_simulation(trace, capacity, policy):
    found = hits_of(cached_blocks(trace, 1), policy, capacity)
    assert found.tolist() == plain_hits(paths_of(trace, 1), policy, capacity)


@given(block_traces(), capacities)
def test_token_hits_weigh_a_partial_block_by_its_tokens(trace, capacity):
    size = trace.block_tokens
    row, _ = sweep_rows(trace, "t", [], [capacity * size], ["lru"], None)
    hits = hits_of(cached_blocks(trace, size), "lru", capacity)
    found = dict(zip(SWEEP_COLUMNS, row, strict=True))
    assert found["block_hits"] == hits.sum()
    tokens = np.minimum(hits * size, trace.prompt_tokens).sum()
    assert found["token_hit_rate"] == tokens / trace.prompt_tokens.sum()


@given(token_traces(), capacities)
def test_belady_bounds_every_policy(trace, capacity):
    paths = cached_blocks(trace, 1)
    bound = hits_of(paths, "belady", capacity).sum()
    able = [name for name, policy in POLICIES.items() if capacity >= policy.least_blocks]
    assert all(hits_of(paths, policy, capacity).sum() <= bound for policy in able)


@settings(max_examples=60, deadline=None)
@given(token_traces(longest=5, most_streams=3, most_requests=6), st.integers(1, 3))
def test_belady_is_the_best_of_all_choices(trace, capacity):
    paths = [frozenset(path) for path in paths_of(trace, 1)]
    ordered = paths_of(trace, 1)
    best = {frozenset(): 0}  # contents -> most hits so far
    for path, order in zip(paths, ordered, strict=True):
        following = {}
        for contents, hits in best.items():
            hits += leading_run(order, contents)
            pool = contents | path
            for kept in itertools.combinations(sorted(pool), min(capacity, len(pool))):
                following[frozenset(kept)] = max(hits, following.get(frozenset(kept), 0))
        best = following
    assert hits_of(cached_blocks(trace, 1), "belady", capacity).sum() == max(best.values())


@given(token_traces(), st.sampled_from(list(POLICIES)))
def test_a_cache_that_holds_everything_hits_what_is_shared(trace, policy):
    paths = cached_blocks(trace, 1)
    found = hits_of(paths, policy, max(20, paths.distinct))
    assert found.tolist() == Sharing.of(trace, StreamOrder.of(trace), 1).shared_blocks.tolist()


@given(token_traces(), capacities)
def test_lru_never_hits_less_in_a_larger_cache(trace, capacity):
    paths = cached_blocks(trace, 1)
    assert hits_of(paths, "lru", capacity).sum() <= hits_of(paths, "lru", capacity + 1).sum()


@given(token_traces(), capacities)
def test_the_lru_of_the_library_equals_the_simulated_one(trace, capacity):
    paths = cached_blocks(trace, 1)
    found = library_hits(paths, libcachesim.LRU(cache_size=capacity), capacity)
    assert found.tolist() == hits_of(paths, "lru", capacity).tolist()


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(1, 8))
def test_the_fifo_of_the_library_equals_the_simulated_one_for_single_blocks(blocks, capacity):
    paths = BlockPaths(np.array(blocks), np.arange(len(blocks) + 1), 10)
    found = library_hits(paths, libcachesim.FIFO(cache_size=capacity), capacity)
    assert found.tolist() == hits_of(paths, "fifo", capacity).tolist()


def test_an_evicted_parent_makes_its_children_unreachable():
    # FIFO keeps x's child 1, inserted after x was; then x itself is evicted and returns as a miss.
    trace = make_trace(
        [[5, 6, 0], [7, 0], [8, 0], [5, 6, 9, 0]],
        [(0, 1, 1, 0.0), (1, 1, 1, 1.0), (0, 2, 1, 2.0), (2, 1, 1, 3.0), (0, 2, 1, 4.0)],
    )
    hits = hits_of(cached_blocks(trace, 1), "fifo", 3)
    assert hits.tolist() == [0, 0, 1, 0, 0]  # the last finds its second block cached, but not its first


def test_a_prompt_longer_than_the_cache_leaves_its_leading_blocks():
    trace = make_trace([[1, 2, 3, 4, 5, 0]], [(0, 5, 1, 0.0), (0, 5, 1, 1.0)])
    for policy in (name for name, about in POLICIES.items() if about.least_blocks <= 2):
        assert hits_of(cached_blocks(trace, 1), policy, 2).sum() == 2, policy


def test_a_library_policy_is_refused_a_cache_that_it_would_abort_on():
    trace = make_trace([list(range(20))], [(0, 19, 1, 0.0)])
    with pytest.raises(LabError, match="s3fifo needs a cache of 20 blocks"):
        hits_of(cached_blocks(trace, 1), "s3fifo", 15)


def test_rows_are_tidy_and_capacities_alike_for_every_block_size():
    trace = make_trace([[1, 2, 3, 4, 5, 0]], [(0, 5, 1, 0.0), (0, 5, 1, 1.0)])
    rows = [
        dict(zip(SWEEP_COLUMNS, row, strict=True))
        for row in sweep_rows(trace, "t", [2, 1], [2, 4], ["lru", "belady"], kv_bytes=2**29)
    ]
    assert [row["capacity_blocks"] for row in rows] == [2, 4, math.inf] * 2 + [1, 2, math.inf] * 2
    assert [row["capacity_gib"] for row in rows] == [1.0, 2.0, math.inf] * 4
    assert [row["block_hits"] for row in rows] == [2, 4, 5] * 2 + [1, 2, 2] * 2
    assert rows[-1]["hit_rate"] == 0.5 and rows[-1]["token_hit_rate"] == 0.4


def test_a_capacity_below_a_block_is_refused():
    trace = make_trace([[1, 2]], [(0, 1, 1, 0.0)])
    with pytest.raises(LabError, match="must hold a block"):
        list(sweep_rows(trace, "t", [16], [8], ["lru"], None))


def test_a_row_in_the_table_is_all_that_a_policy_of_the_library_needs(monkeypatch, tmp_path):
    monkeypatch.setitem(POLICIES, "clock", Policy("Clock"))
    trace = make_trace([[1, 2, 3, 4, 5, 0]], [(0, 5, 1, 0.0), (0, 5, 1, 1.0)])
    rows = sweep_rows(trace, "t", [1], [2], ["lru", "fifo", "clock"], kv_bytes=None)
    rates = pd.DataFrame(rows, columns=list(SWEEP_COLUMNS))
    assert rates["block_hits"][rates["policy"] == "clock"].tolist() == [2, 5]
    hit_rate_curves(rates, tmp_path / "curves")
    hit_rate_heatmap(rates, 1, tmp_path / "heatmap")


def test_a_policy_that_the_table_lacks_gets_a_style_of_its_own():
    styles = policy_styles(["random", "lru", "clock"])
    assert styles["lru"] == ("#0072B2", "-") and styles["arc"] == ("#7A3E8E", ":")
    assert len(set(styles.values())) == len(styles) == len(POLICIES) + 2
