"""Every metric of a run made by hand."""

from dataclasses import replace

import pytest

from vllm_lab.replay.metrics import METRICS, REQUEST_METRICS, metrics, metrics_by_priority
from vllm_lab.replay.replay import Crash, Outcome, Result

EXPECTED = {
    "requests": 5,
    "refused": 1,
    "finished": 4,
    "preemptions": 1,
    "preempted_requests": 1,
    "prompt_tokens": 20,
    "cached_tokens": 2,
    "hit_rate": 0.1,
    "ttft_mean": 1.5,
    "ttft_p50": 1.0,
    "ttft_max": 3.0,
    "tpot_mean": 2.0,
    "tpot_p50": 2.0,
    "tpot_max": 3.0,
    "e2e_mean": 2.75,
    "e2e_p50": 3.0,
    "e2e_max": 4.0,
    "steps": 5,
    "makespan": 7.0,
    "evictions": 1,
    "scheduled_tokens": 25,
    "recomputed_tokens": 4,  # 25 less (6 of a, 5 of b, 8 - 2 of c, 4 of d)
    "peak_running": 2,
    "peak_used_blocks": 2,
    "request_throughput": 4 / 7,
    "output_throughput": 1.0,
    "total_throughput": 27 / 7,
    "crash_step": None,
    "crash_time": None,
}


def test_every_metric_of_the_hand_made_run(requests, limits, result):
    found = metrics(requests, result, limits.num_blocks)
    assert {name: found[name] for name in EXPECTED} == EXPECTED
    assert found.keys() == METRICS.keys()


def test_percentiles_are_linear_between_the_nearest_ranks(requests, limits, result):
    found = metrics(requests, result, limits.num_blocks)
    assert found["ttft_p95"] == pytest.approx(1 + 2 * 0.85)  # rank 2.85 of 1, 1, 1, 3
    assert found["tpot_p99"] == pytest.approx(1 + 2 * 0.99)


def test_each_priority_has_its_own_requests(requests, result):
    found = metrics_by_priority(requests, result)
    assert list(found) == [0, 1]
    assert found[1].keys() == REQUEST_METRICS.keys()
    assert (found[0]["requests"], found[1]["requests"]) == (4, 1)
    assert (found[0]["preemptions"], found[1]["preemptions"]) == (0, 1)
    assert found[1]["e2e_mean"] == 4.0


def test_a_crash_is_reported_and_leaves_open_what_was_computed_twice(requests, limits, result):
    crashed = replace(result, steps=result.steps[:2], crash=Crash(2, 2.0, "a needs 1 blocks, 0 are free"))
    found = metrics(requests, crashed, limits.num_blocks)
    assert (found["crash_step"], found["crash_time"], found["recomputed_tokens"]) == (2, 2.0, None)


def test_what_no_request_has_is_none_and_not_zero(requests, limits):
    nobody = [Outcome(request.request_id, request.arrival_time, *[None] * 5, 0) for request in requests]
    found = metrics(requests, Result([], nobody, []), limits.num_blocks)
    for name in ("ttft_mean", "e2e_max", "hit_rate", "makespan", "output_throughput"):
        assert found[name] is None
    assert (found["finished"], found["steps"], found["peak_used_blocks"]) == (0, 0, 0)
