"""The benchmarks' section: what it says of agreement, and of tests that were not run."""

import json

from tests.report.documents.measured import benchmark
from tests.report.example import write_report
from tests.report.project import Project


def written(root, document):
    files = Project(root).job(
        "bench_pair", {"results/plan/cpu/torch_compile.json": document}, kind="measured"
    )
    folder = write_report(root, files)
    return (folder / "report.md").read_text(), json.loads((folder / "summary.json").read_text())


def test_a_test_that_was_not_run_tells_its_reason_and_no_number(tmp_path):
    page, summary = written(tmp_path, benchmark() | {"status": "not_run", "reason": "vLLM is not installed"})
    assert {entry["status"] for entry in summary.values()} == {"not_run"}
    assert "vLLM is not installed" in page


def test_runs_that_do_not_agree_are_said_not_to(tmp_path):
    verification = benchmark()["verification"] | {"within_tolerance": False}
    page, _ = written(tmp_path, benchmark() | {"verification": verification})
    assert "are not all within ±5 % of their mean" in page


def test_a_single_run_verifies_nothing(tmp_path):
    verification = benchmark()["verification"] | {"spread_pct": None, "within_tolerance": False}
    page, _ = written(tmp_path, benchmark() | {"verification": verification})
    assert "nothing is verified" in page
