"""Result documents: the keys of all stages, the keys of one, and the schema's common part."""

from pathlib import Path
from shutil import copy

import pytest

from vllm_lab.common.errors import LabError, Unavailable
from vllm_lab.common.files import write_json
from vllm_lab.common.metric import Metric
from vllm_lab.measure.document import (
    Check,
    Test,
    document,
    document_of,
    measured,
    now_and_here,
    raw_document,
    results_of,
)
from vllm_lab.measure.repeats import Disturbance, Repeats, Run
from vllm_lab.provenance.schemas import check

SCHEMAS = Path(__file__).parents[2] / "workflow/schemas"
TEST = Test(
    id="speed",
    name="Speed",
    question="How fast is it?",
    method="Run it.",
    how_obtained="time.perf_counter",
    metrics={"total_time": Metric("s", "start to end"), "hit_rate": Metric("%", "hits / queries", "Hits")},
    headline="total_time",
)


def runs(*seconds: float, used: bool = True) -> list[Run]:
    quiet = Disturbance(0.0, 0.0, 0.0, 0.0)
    return [Run({"total_time": value}, {}, quiet, used) for value in seconds]


def write(folder: Path, found: dict, schema: str = "plan") -> None:
    write_json(folder / "found.json", found)
    check(folder / "found.json", SCHEMAS / f"{schema}.schema.yaml")


def test_a_measured_document_has_titles_units_definitions_and_spread(tmp_path):
    checks = [Check("by_hand", "total time by a stopwatch", 2.0, 2.02, tolerance_pct=2.0)]
    environments = {"engine": {"version": "1"}}
    found = measured(TEST, "cpu", {"n": 1}, environments, runs(1.9, 2.1), Repeats(2, 2, 6.0), checks=checks)
    write(tmp_path, found)
    assert list(found["results"]) == ["total_time"]  # no run has a hit_rate
    result = found["results"]["total_time"]
    assert (result["title"], result["unit"], result["definition"]) == ("Total time", "s", "start to end")
    assert result["spread_pct"] == pytest.approx(5)
    assert found["verification"]["within_tolerance"]
    assert found["checks"][0]["holds"]
    assert found["question"] == "How fast is it?"


def test_runs_that_do_not_count_are_kept_but_enter_no_result():
    both = runs(1.0, 3.0) + runs(100.0, used=False)
    found = measured(TEST, "cpu", {}, {"engine": {}}, both, Repeats(2, 3, 5.0))
    assert found["results"]["total_time"]["value"] == 2
    assert [run["used"] for run in found["runs"]] == [True, True, False]


def test_a_document_that_was_not_run_has_a_reason_and_no_result(tmp_path):
    found = document(TEST, "cuda", {}, "not_run", reason="no GPU", **now_and_here())
    write(tmp_path, found)
    with pytest.raises(LabError, match="reason"):
        write(tmp_path, found | {"reason": ""})


def test_what_could_not_be_measured_has_the_reason_in_the_raw_file_and_in_the_document(tmp_path):
    def measure():
        raise Unavailable("vLLM is not installed")

    raw = raw_document("cpu", {"n": 1}, measure)
    assert (raw["status"], raw["reason"]) == ("not_run", "vLLM is not installed")
    found = document_of(TEST, raw, {"m": 2})
    write(tmp_path, found)
    assert (found["status"], found["parameters"]) == ("not_run", {"n": 1, "m": 2})


def test_results_of_one_measurement_have_no_spread_and_none_is_left_out():
    found = results_of(TEST.metrics, {"total_time": 2.0, "hit_rate": None})
    assert found == {
        "total_time": {
            "value": 2.0,
            "unit": "s",
            "title": "Total time",
            "definition": "start to end",
            "interval": None,
            "cv_pct": None,
            "spread_pct": None,
        }
    }


def test_a_stage_adds_keys_to_the_common_ones_and_its_schema_refers_to_them(tmp_path):
    copy(SCHEMAS / "document.schema.yaml", tmp_path)
    (tmp_path / "own.schema.yaml").write_text(
        '$ref: "document.schema.yaml#/$defs/document"\nunevaluatedProperties: false\n'
        "properties: {fit: {type: object}}\n"
    )
    results = results_of(TEST.metrics, {"total_time": 1.0})
    own = document(TEST, None, {}, "derived", results=results, fit={"base": 1.0})
    write_json(tmp_path / "own.json", own)
    check(tmp_path / "own.json", tmp_path / "own.schema.yaml")
    for broken, place in ((own | {"fitt": {}}, "fitt"), (own | {"question": ""}, "question")):
        write_json(tmp_path / "own.json", broken)
        with pytest.raises(LabError, match=place):
            check(tmp_path / "own.json", tmp_path / "own.schema.yaml")


@pytest.mark.parametrize(("found", "holds"), [(104.9, True), (95.1, True), (105.1, False)])
def test_a_check_holds_within_its_tolerance(found, holds):
    assert Check("by_hand", "about 100", 100.0, found, tolerance_pct=5.0).holds is holds
