"""The cost model's section where the calibration could not be."""

import json

from tests.report.example import write_report
from tests.report.project import Project


def test_a_calibration_that_was_not_run_tells_its_reason_and_no_number(tmp_path):
    account = {"status": "not_run", "reason": "vLLM is not installed"}
    files = Project(tmp_path).job(
        "cost_model_fit", {"results/cost_model/fit.json": account}, kind="measured"
    )
    folder = write_report(tmp_path, files)
    summary = json.loads((folder / "summary.json").read_text())
    assert {entry["status"] for entry in summary.values()} == {"not_run"}
    assert "vLLM is not installed" in (folder / "report.md").read_text()
