"""The sharing metrics against the plainest possible reference."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sharing.small_traces import (
    access_times,
    block_traces,
    make_trace,
    paths_of,
    shared_blocks,
    token_traces,
)
from vllm_lab.common.errors import LabError
from vllm_lab.common.statistics import Distribution
from vllm_lab.sharing import stats
from vllm_lab.sharing.analysis import Sharing, WorkingSet
from vllm_lab.sharing.metrics import METRICS, WORKING_SET
from vllm_lab.traces.prefix_tree import StreamOrder

block_sizes = st.integers(1, 5)


def analyse(trace, block_size, **options):
    return Sharing.of(trace, StreamOrder.of(trace), block_size, **options)


@given(token_traces(), block_sizes)
def test_shared_blocks_are_those_of_a_set_of_all_earlier_prefixes(trace, block_size):
    prompts, everything = paths_of(trace, block_size), paths_of(trace, block_size, generated=True)
    sharing = analyse(trace, block_size)
    assert sharing.prompt_blocks.tolist() == [len(path) for path in prompts]
    assert sharing.shared_blocks.tolist() == shared_blocks(prompts, prompts)
    assert sharing.shared_with_generated.tolist() == shared_blocks(prompts, everything)


@given(token_traces())
def test_token_sharing_is_the_longest_common_prefix_with_any_earlier_prompt(trace):
    def common(row, earlier):
        one, other = trace.prompt(row).tolist(), trace.prompt(earlier).tolist()
        return next(
            (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
            min(len(one), len(other)),
        )

    expected = [max((common(row, earlier) for earlier in range(row)), default=0) for row in range(len(trace))]
    assert analyse(trace, 1).shared_blocks.tolist() == expected


@given(token_traces(), block_sizes)
def test_no_block_size_shares_more_than_the_token_bound(trace, block_size):
    bound = analyse(trace, 1).shared_blocks
    sharing = analyse(trace, block_size)
    assert np.array_equal(sharing.shared_tokens, bound // block_size * block_size)


@given(token_traces(), block_sizes)
def test_metrics_equal_those_counted_block_by_block(trace, block_size):
    paths = paths_of(trace, block_size)
    times = access_times(trace, paths)
    shared = shared_blocks(paths, paths)
    gaps = [later - sooner for at in times.values() for sooner, later in itertools.pairwise(at)]
    accesses = sum(len(path) for path in paths)
    found = stats.sharing_metrics(analyse(trace, block_size), None, [1.0], 10)

    assert found["block_accesses"] == accesses
    assert found["distinct_blocks"] == len(times)
    assert found["block_reuse_rate"] == (1 - len(times) / accesses if accesses else None)
    assert found["requests_with_hit_fraction"] == np.mean(np.array(shared) > 0)
    assert found["saved_prefill_tokens"] == sum(shared) * block_size
    assert found["saved_kv_bytes"] == sum(shared) * block_size * 10
    assert found["distinct_kv_bytes"] == len(times) * block_size * 10
    check_summary(found["sharing_fraction"], np.array(shared) * block_size / trace.prompt_tokens)
    check_summary(found["block_hits"], [len(at) for at in times.values()])
    assert found["reuse_gap_s"]["count"] == len(gaps)
    check_summary(found["reuse_gap_s"], gaps)


def check_summary(found, sample):
    assert found["mean"] == (pytest.approx(np.mean(sample)) if len(sample) else None)
    assert found["median"] == (np.percentile(sample, 50) if len(sample) else None)
    assert found["p90"] == (np.percentile(sample, 90) if len(sample) else None)
    assert found["max"] == (np.max(sample) if len(sample) else None)


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(0, 4)), min_size=1), st.integers(0, 100))
def test_a_percentile_is_numpys_of_the_written_out_sample(pairs, percent):
    values, counts = (np.array(column) for column in zip(*pairs, strict=True))
    sample, found = np.repeat(values, counts), Distribution.of(values, counts)
    assert found.size == len(sample)
    assert found.percentile(percent) == (np.percentile(sample, percent) if len(sample) else None)


@given(token_traces(), block_sizes, st.sampled_from([0.25, 0.5, 1.0, 6.0, math.inf]))
def test_the_working_set_is_what_was_accessed_within_the_window(trace, block_size, window):
    times = access_times(trace, paths_of(trace, block_size))

    def size(moment):
        return sum(any(moment - window < at <= moment for at in accessed) for accessed in times.values())

    found = WorkingSet.of(analyse(trace, block_size), window)
    first, last = (float(trace.arrival_time[at]) for at in (0, -1))
    moments = np.linspace(0, last + 1, 19)
    assert found.at(moments).tolist() == [size(moment) for moment in moments]
    assert found.peak() == max(size(moment) for moment in trace.arrival_time.tolist())
    if first == last:
        assert found.mean() == size(last)
    else:  # steps change at multiples of 1/4 s only
        steps = np.arange(first, last, 0.25)
        assert found.mean() == pytest.approx(np.mean([size(step) for step in steps]))


@given(token_traces(), block_sizes)
def test_the_block_table_lists_every_block_once_in_order_of_first_access(trace, block_size):
    times = access_times(trace, paths_of(trace, block_size))
    expected = [
        (number, len(block) // block_size - 1, len(at), at[0], at[-1])
        for number, (block, at) in enumerate(times.items())
    ]
    rows = list(stats.block_rows(analyse(trace, block_size)))
    assert [row[:5] for row in rows] == expected
    for row, at in zip(rows, times.values(), strict=True):
        assert row[5] == (pytest.approx((at[-1] - at[0]) / (len(at) - 1)) if len(at) > 1 else None)


@given(token_traces(), block_sizes)
def test_the_tables_add_up_to_the_statistics(trace, block_size):
    document, sharing, tokens = stats.trace_stats(trace, "t", block_size, [1, 2], [60.0], 3)
    found = document["metrics"]
    requests = list(stats.request_rows(sharing, tokens))
    assert sum(row[5] for row in requests) * block_size == found["saved_prefill_tokens"]
    assert sum(row[2] for row in stats.block_rows(sharing)) == found["block_accesses"]
    assert sum(row[1] for row in stats.gap_rows(sharing)) == found["reuse_gap_s"]["count"]
    whole = [row for row in stats.working_set_rows(sharing, [60.0], 3) if row[1] == "inf"]
    assert whole[-1][2:] == (found["distinct_blocks"], found["distinct_kv_bytes"])
    assert set(document["by_block_size"]) == {"1", "2", str(block_size)}
    json.dumps(document, allow_nan=False)


@given(token_traces(), block_sizes)
def test_the_statistics_hold_the_metrics_of_the_table_and_no_others(trace, block_size):
    found = stats.sharing_metrics(analyse(trace, block_size), None, [1.0], None)
    assert list(found) == list(METRICS)
    assert list(found["working_set"]["inf"]) == list(WORKING_SET)


@given(block_traces())
def test_a_trace_of_blocks_counts_partial_blocks_or_leaves_them_out(trace):
    size = trace.block_tokens
    counted = [trace.prompt(row).tolist() for row in range(len(trace))]
    full = [path[: int(tokens) // size] for path, tokens in zip(counted, trace.prompt_tokens, strict=True)]
    for paths, partial in ((counted, True), (full, False)):
        sharing = analyse(trace, size, partial=partial)
        expected = shared_blocks(paths, paths)
        assert sharing.shared_blocks.tolist() == expected
        assert (
            sharing.shared_tokens.tolist()
            == np.minimum(np.array(expected) * size, trace.prompt_tokens).tolist()
        )
    document, _, tokens = stats.trace_stats(trace, "t", 16, [8, 32], [60.0], None)
    assert (document["block_size"], list(document["by_block_size"]), tokens) == (size, [str(size)], None)
    assert document["metrics"]["block_accesses"] == sum(len(path) for path in counted)
    assert document["metrics_full_blocks"]["block_accesses"] == sum(len(path) for path in full)
    assert document["metrics"]["saved_prefill_fraction_with_generated"] is None


def test_identical_prompts_at_one_moment_share_all_but_the_first():
    trace = make_trace([[1, 2, 3, 4, 5]], [(0, 4, 1, 3.0)] * 3)
    found = stats.sharing_metrics(analyse(trace, 2), None, [60.0], None)
    assert analyse(trace, 2).shared_blocks.tolist() == [0, 2, 2]
    assert found["block_hits"]["mean"] == 3
    assert found["reuse_gap_s"] == {"count": 4, "mean": 0, "median": 0, "p90": 0, "p99": 0, "max": 0}


def test_prompts_shorter_than_a_block_have_no_blocks_and_no_rates():
    trace = make_trace([[1, 2, 3]], [(0, 2, 1, 0.0), (0, 2, 1, 1.0)])
    found = stats.sharing_metrics(analyse(trace, 16), None, [60.0], 1)
    assert (found["block_accesses"], found["distinct_blocks"], found["block_reuse_rate"]) == (0, 0, None)
    assert found["sharing_fraction"]["max"] == 0
    assert found["working_set"]["inf"] == {"mean_blocks": 0, "peak_blocks": 0, "peak_kv_bytes": 0}


def test_an_empty_trace_is_refused():
    with pytest.raises(LabError, match="no requests"):
        analyse(make_trace([], []), 16)


def test_a_trace_of_blocks_is_refused_at_another_block_size():
    trace = make_trace([[0, 1]], [(0, 700, 1, 0.0)], unit="block", block_tokens=512)
    with pytest.raises(LabError, match="blocks of 512 tokens"):
        analyse(trace, 16)
