"""The section on captures: absent metrics share a reason, a capture that was not made tells why."""

import json

from tests.report.documents.measured import capture_metrics
from tests.report.documents.words import REASON
from tests.report.example import captures, write_report
from tests.report.project import Project
from vllm_lab.nsight.metrics import GPU_METRICS, LAYER_METRICS


def told(root):
    folder = write_report(root, captures(Project(root), []))
    return (folder / "report.md").read_text(), json.loads((folder / "summary.json").read_text())


def test_metrics_of_one_reason_are_told_together(tmp_path):
    _, summary = told(tmp_path)
    absent = [
        entry
        for key, entry in summary.items()
        if key.startswith("nsight.exp004.vllm.") and entry["status"] == "not_run"
    ]
    assert len(absent) == 1
    assert all(name in absent[0]["label"] for name in [*GPU_METRICS, *LAYER_METRICS])


def test_a_capture_that_was_not_made_tells_its_reason_and_no_number(tmp_path):
    page, summary = told(tmp_path)
    graphs = [entry for key, entry in summary.items() if key.startswith("nsight.exp004.graphs")]
    assert [entry["status"] for entry in graphs] == ["not_run"]
    assert REASON in page


def test_the_answer_is_of_a_run_without_ranges_around_layers(tmp_path):
    assert "Where does the time of a step go?" in told(tmp_path)[0]
    body = capture_metrics()
    body["results"]["decode_linear_range_share"] = {"value": 0.7}
    files = Project(tmp_path).job("nsight_metrics", {"results/nsight/exp004.a.json": body}, kind="measured")
    assert "Where does the time" not in (write_report(tmp_path, files) / "report.md").read_text()
