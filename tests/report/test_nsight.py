"""The part on captures: metrics without a value, a capture that was not made, the answer."""

from tests.report.example import recorded, report_of
from tests.report.words import REASON

VLLM, GRAPHS = "nsight/exp004.vllm.json", "nsight/exp004.graphs.json"


def shown(root, **bodies):
    return report_of(
        root, *(("nsight_metrics", f"nsight/exp004.{name}.json", bodies[name]) for name in bodies)
    )


def test_metrics_without_a_value_for_one_reason_are_listed_together(tmp_path):
    body = recorded(VLLM)
    _, summary = shown(tmp_path, vllm=body)
    absent = [entry for entry in summary.values() if entry["status"] == "not_run"]
    assert [entry["reason"] for entry in absent] == [part["reason"] for part in body["parts_not_run"]]
    assert all(
        part["part"] in entry["label"] for part, entry in zip(body["parts_not_run"], absent, strict=True)
    )


def test_a_capture_that_was_not_made_gives_its_reason_and_no_number(tmp_path):
    page, summary = shown(tmp_path, graphs=recorded(GRAPHS) | {"reason": REASON})
    assert [entry["status"] for entry in summary.values()] == ["not_run"]
    assert "vLLM is not installed" in page


def test_the_answer_is_of_a_run_without_ranges_around_layers(tmp_path):
    body = recorded(VLLM)
    assert "Where does the time of a step go?" in shown(tmp_path / "a", vllm=body)[0]
    body["results"]["decode_linear_range_share"] = body["results"]["decode_forward_share"]
    assert "Where does the time of a step go?" not in shown(tmp_path / "b", vllm=body)[0]
