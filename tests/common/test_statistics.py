"""Repeated runs summed up, against values worked out by hand and printed in tables."""

import math
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllm_lab.common.statistics import Summary, verification


def test_a_summary_by_hand():
    """9, 10 and 11: mean 10, standard deviation 1, interval 10 ± 4.3027 / √3, farthest 1 off."""
    summary = Summary.of([9.0, 10.0, 11.0])
    assert summary.mean == 10
    assert summary.interval == pytest.approx(
        (10 - 4.3027 / math.sqrt(3), 10 + 4.3027 / math.sqrt(3)), abs=1e-4
    )
    assert (summary.cv_pct, summary.spread_pct) == (pytest.approx(10), pytest.approx(10))


@pytest.mark.parametrize(
    ("freedom", "t"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (9, 2.2622), (30, 2.0423), (120, 1.9799)],
)
def test_the_interval_is_as_wide_as_printed_tables_of_student_s_t_say(freedom, t):
    values = [float(value) for value in range(1, freedom + 2)]
    low, high = Summary.of(values).interval
    assert (high - low) / 2 == pytest.approx(t * stdev(values) / math.sqrt(len(values)), rel=2e-5)


def test_one_run_has_a_mean_and_no_spread_and_agrees_with_nothing():
    summary = Summary.of([3.0])
    assert summary == Summary(3.0, None, None, None)
    assert not summary.agrees(5.0)


def test_a_verdict_names_what_it_is_by_and_how_far_the_runs_are_apart():
    assert verification("speed", [9.0, 10.0, 11.0], 10.0) == {
        "metric": "speed",
        "runs": 3,
        "spread_pct": 10.0,
        "tolerance_pct": 10.0,
        "within_tolerance": True,
    }
    assert not verification("speed", [9.0, 10.0, 11.0])["within_tolerance"]


def test_runs_of_zero_have_no_relative_spread():
    assert Summary.of([0.0, 0.0]) == Summary(0.0, (0.0, 0.0), None, None)


@given(st.lists(st.floats(1, 1e6), min_size=2, max_size=10))
def test_every_run_is_within_the_spread_of_the_mean(values):
    summary = Summary.of(values)
    bound = summary.spread_pct / 100 * summary.mean * (1 + 1e-9)
    assert all(abs(value - fmean(values)) <= bound for value in values)
    assert summary.cv_pct == pytest.approx(100 * stdev(values) / fmean(values))
