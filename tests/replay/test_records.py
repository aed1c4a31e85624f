"""The records of real runs, and files that are broken."""

from dataclasses import astuple, replace

import pytest

from vllm_lab.common.errors import LabError
from vllm_lab.engines.replay import RealStep
from vllm_lab.replay.records import measured_record, read_requests, read_steps, write_requests, write_steps
from vllm_lab.replay.replay import Outcome, Refusal, Result

ENVIRONMENT = {"vllm": "0.32.0", "device": "cpu"}


def later(result, seconds):
    """The same run with each last token `seconds` later."""
    rows = [row if row.e2e is None else replace(row, e2e=row.e2e + seconds) for row in result.requests]
    return replace(result, requests=rows)


def test_steps_in_real_time_are_written_like_steps_in_virtual_time(tmp_path, result):
    real = [RealStep(*astuple(step), 0.5, step.scheduled) for step in result.steps]
    write_steps(tmp_path / "steps.jsonl", real)
    assert list(read_steps(tmp_path / "steps.jsonl")) == result.steps


def test_of_several_real_runs_the_median_is_kept_with_the_makespan_of_each(requests, limits, result):
    repeats = [later(result, seconds) for seconds in (3.0, 0.0, 1.0, 2.0)]
    median, record = measured_record(requests, limits, repeats, ENVIRONMENT)
    assert median is repeats[2]
    assert [run["makespan"] for run in record["repeats"]] == [7.0, 8.0, 9.0, 10.0]
    assert (record["metrics"]["makespan"], record["vllm_version"]) == (8.0, "0.32.0")
    assert record["limits"]["clock"] == {"kind": "real"}
    assert record["same_decisions"]


def test_other_decisions_in_one_of_the_real_runs_are_noticed(requests, limits, result):
    other = replace(result, steps=result.steps[:-1])
    _, record = measured_record(requests, limits, [result, other, result], ENVIRONMENT)
    assert not record["same_decisions"]


def test_real_runs_in_which_every_request_is_refused_have_a_record(requests, limits):
    rows = [Outcome(request.request_id, request.arrival_time) for request in requests]
    refused = [Refusal(request.request_id, "too long") for request in requests]
    _, record = measured_record(requests, limits, 3 * [Result([], rows, refused)], ENVIRONMENT)
    assert (record["metrics"]["refused"], record["metrics"]["makespan"]) == (5, None)


def test_a_table_of_requests_that_was_cut_off_is_an_error_that_names_it(tmp_path, result):
    path = tmp_path / "requests.csv"
    write_requests(path, result.requests)
    path.write_text(path.read_text().removesuffix(",1\n"))
    with pytest.raises(LabError, match=r"requests\.csv: not the requests of a replay"):
        read_requests(path)
