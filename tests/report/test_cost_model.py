"""The cost model's part where nothing was measured."""

from tests.report.example import recorded, report_of

NAME = "cost_model/fit.json"


def test_a_fit_that_was_not_made_gives_its_reason_and_no_number(tmp_path):
    reason = {"status": "not_run", "reason": "vLLM is not installed"}
    page, summary = report_of(tmp_path, ("cost_model_fit", NAME, recorded(NAME) | reason))
    assert {entry["status"] for entry in summary.values()} == {"not_run"}
    assert "vLLM is not installed" in page


def test_a_further_model_of_the_fit_has_rows_in_the_table(tmp_path):
    body = recorded(NAME)
    body["fit"]["models"]["moon phase"] = body["fit"]["models"]["context"]
    page, summary = report_of(tmp_path, ("cost_model_fit", NAME, body))
    assert "| moon phase | all |" in page
    assert "cost_model.residual.moon_phase.all.steps" in summary
