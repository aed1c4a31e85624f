"""Relative errors of requests, and the choice of requests."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from tests.cost_model.traces import trace_of
from vllm_lab.common.errors import LabError
from vllm_lab.cost_model import fit
from vllm_lab.cost_model.measure import choose
from vllm_lab.replay.replay import Outcome

MEASURED = [Outcome.finished(f"r{n}", 1.0 * n, 0, 0, n + 0.5, n + 1.5, 11) for n in range(4)]
SIZES = {"rate": 2.0, "max_prompt_tokens": 200, "max_output_tokens": 5, "seed": 1}


def test_a_prediction_that_is_right_has_no_error():
    errors = fit.errors([(MEASURED, MEASURED)] * 2)
    assert {value for metric in errors.values() for value in metric.values()} == {0}


def test_errors_are_relative_and_their_bias_has_a_sign():
    late = [replace(row, ttft=1.2 * row.ttft, e2e=0.9 * row.e2e) for row in MEASURED]
    errors = fit.errors([(late, MEASURED)])
    assert errors["ttft"] == pytest.approx({"median": 0.2, "p95": 0.2, "bias": 0.2})
    assert errors["e2e"]["bias"] == pytest.approx(-0.1)
    assert errors["tpot"]["median"] == 0


def test_medians_are_taken_request_by_request_over_the_runs():
    runs = [[replace(row, ttft=factor * row.ttft) for row in MEASURED] for factor in (9, 1, 2)]
    assert [row.ttft for row in fit.medians(runs)] == [2 * row.ttft for row in MEASURED]
    assert fit.medians([[Outcome.finished("one", 0.0, 0, 0, 1.0, 1.0, 1)]])[0].tpot is None


def test_repetitions_are_compared_with_each_other_both_ways():
    double = [replace(row, ttft=2 * row.ttft) for row in MEASURED]
    assert fit.errors(permutations([MEASURED, double], 2))["ttft"]["median"] == pytest.approx((1 + 0.5) / 2)


def test_a_request_of_one_output_token_has_no_tpot_to_be_off():
    single = [Outcome.finished("one", 0.0, 0, 0, 1.0, 1.0, 1), *MEASURED]
    assert fit.errors([(single, single)])["tpot"]["median"] == 0


def test_throughput_counts_output_tokens_from_the_first_arrival_to_the_last_token():
    assert fit.output_throughput(MEASURED) == 44 / 4.5


def test_the_sets_share_no_conversation_and_are_the_same_for_the_same_seed():
    trace = trace_of(conversations=20, turns=2)
    workload = choose(trace, requests=9, heldout_requests=6, **SIZES)
    fitted = [row for group in workload.groups for row in group]
    conversation = dict(zip(trace.request_id, trace.conversation_id, strict=True))
    assert not ({conversation[row.request_id] for row in fitted}
                & {conversation[row.request_id] for row in workload.heldout})  # fmt: skip
    assert [len(group) for group in workload.groups] == [1, 2, 6]
    assert {row.arrival_time for row in fitted} == {0.0}
    assert all(len(row.output) <= 5 for row in [*fitted, *workload.heldout])
    assert workload == choose(trace, requests=9, heldout_requests=6, **SIZES)


def test_held_out_requests_come_at_the_rate_asked_for():
    arrivals = [
        row.arrival_time for row in choose(trace_of(20, 2), requests=9, heldout_requests=6, **SIZES).heldout
    ]
    assert arrivals[0] == 0
    assert np.mean(np.diff(arrivals)) == pytest.approx(1 / 2.0)


def test_a_trace_with_too_few_requests_is_an_error():
    with pytest.raises(LabError, match="Lower cost_model"):
        choose(trace_of(3, 1), requests=5, heldout_requests=5, **SIZES)
