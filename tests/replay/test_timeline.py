"""Running, waiting, blocks in use and hit rates over time."""

from dataclasses import replace

import numpy as np
import pytest

from mini_vllm.clock import Clock
from mini_vllm.limits import Limits
from vllm_lab.replay import mini
from vllm_lab.replay.figures import Timeline, hit_rates, in_windows
from vllm_lab.replay.records import RunFiles, StoredRun, simulated_record
from vllm_lab.replay.replay import TracedRequest


@pytest.fixture
def run(tmp_path, requests, limits, result):
    RunFiles.of(str(tmp_path / "v2_lru.hand.scarce")).write(
        result, simulated_record("v2_lru", requests, limits, result)
    )
    return StoredRun(tmp_path / "v2_lru.hand.scarce.json")


def test_waiting_are_those_who_have_come_and_are_neither_finished_nor_scheduled(run):
    line = Timeline.of(run)
    assert line.running.tolist() == [2, 1, 2, 1, 1]
    assert line.waiting.tolist() == [1, 2, 1, 0, 0]  # c; b preempted and c; b; nobody; the refused never
    assert line.used_blocks.tolist() == [2, 2, 0, 0, 0]


def test_a_step_ends_where_the_next_begins_or_with_the_last_token_before_an_idle_time(run):
    line = Timeline.of(run)
    assert line.start.tolist() == [0, 1, 2, 3, 6]
    assert line.end.tolist() == [1, 2, 3, 4, 7]


def test_means_are_weighted_by_time_and_nothing_runs_while_idle(run):
    line = Timeline.of(run)
    middles, means = line.mean(line.running, 2.0)
    assert middles.tolist() == [1, 3, 5, 6.5]
    assert means.tolist() == [1.5, 1.5, 0, 1]


def test_windows_that_divide_the_run_leave_no_sliver_at_its_end(run):
    line = Timeline.of(run)
    for windows in range(1, 200):
        middles, means = line.mean(line.used_blocks, 7 / windows)
        assert len(middles) == windows
        assert np.isfinite(means).all()
        assert means.mean() == pytest.approx(4 / 7)


def test_a_run_without_a_step_has_an_empty_line(tmp_path, requests, limits, result):
    empty = replace(result, steps=[])
    RunFiles.of(str(tmp_path / "v2_lru.hand.scarce")).write(
        empty, simulated_record("v2_lru", requests, limits, empty)
    )
    line = Timeline.of(StoredRun(tmp_path / "v2_lru.hand.scarce.json"))
    assert [len(part) for part in line.mean(line.running, 1.0)] == [0, 0]


def test_v1s_last_step_ends_at_its_crash(tmp_path):
    requests = [TracedRequest(name, 0.0, 0, [1] * 4, [2] * 5) for name in "abc"]
    limits = Limits(num_blocks=6, block_size=4, prefix_caching=False, clock=Clock(1.0, 0.0, 0.0))
    result = mini.run("v1_naive", requests, limits)
    RunFiles.of(str(tmp_path / "v1_naive.tour.scarce")).write(
        result, simulated_record("v1_naive", requests, limits, result)
    )
    line = Timeline.of(StoredRun(tmp_path / "v1_naive.tour.scarce.json"))
    assert result.crash.step == 1
    assert (line.start.tolist(), line.end.tolist(), line.waiting.tolist()) == ([0], [1], [0])


def test_hit_rates_count_tokens_of_admitted_requests_by_arrival(run):
    rates = hit_rates(run, {"a": 4, "b": 4, "c": 8, "big": 99, "d": 4})
    assert rates["arrival"].tolist() == [0, 0, 0, 6]
    np.testing.assert_allclose(rates["so_far"], [0, 0, 2 / 16, 2 / 20])
    middles, windowed = in_windows(rates, 4.0)
    assert (middles.tolist(), windowed.tolist()) == ([2, 6], [0.125, 0])
