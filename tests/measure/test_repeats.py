"""Runs go on until they agree."""

import pytest

from vllm_lab.measure.repeats import Disturbance, Reading, Repeats, used, watched


@pytest.mark.parametrize(
    ("values", "runs"),
    [
        ([10.0, 10.1, 9.9, 7.0], 3),  # they agree at once
        ([10.0, 11.0, 11.0, 10.0, 10.0], 4),  # 10.0 is 6.3 % below the mean of three, 4.8 % of four
        ([1.0, 2.0, 1.0, 2.0, 1.0, 2.0], 5),  # never
    ],
)
def test_runs_go_on_until_all_are_within_the_tolerance_or_to_the_limit(values, runs):
    pytest.importorskip("psutil")
    coming = iter(values)
    # Asked of no thread, no run can be disturbed, whatever this machine does.
    found = Repeats(3, 5, 5.0).run(lambda _: Reading({"time": next(coming)}), "time", threads=-1000)
    assert [run.values["time"] for run in found] == values[:runs]


@pytest.mark.parametrize(("most", "parts", "each"), [(4, 2, 3), (12, 2, 6), (7, 2, 4), (5, 1, 5)])
def test_parts_share_the_limit_and_none_has_fewer_than_the_least(most, parts, each):
    assert Repeats(3, most, 5.0).divided(parts) == Repeats(3, each, 5.0)


def test_disturbed_runs_count_only_where_fewer_than_two_undisturbed_ones_exist():
    quiet, disturbed = Disturbance(0.0, 0.0, 0.1, 0.1), Disturbance(0.0, 0.0, 1.0, 1.0)
    assert used([quiet, disturbed, quiet]) == [True, False, True]
    assert used([quiet, disturbed]) == [True, True]


def test_a_run_is_short_of_the_cores_that_its_threads_need_and_others_use():
    pytest.importorskip("psutil")
    result, disturbance = watched(lambda: "done", threads=10_000)
    assert result == "done"
    assert not disturbance.quiet
