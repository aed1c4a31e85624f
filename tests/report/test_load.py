"""The part on load where no load was sent, or where it went wrong."""

import pytest

from tests.report.example import recorded, report_of

NAME = "load/load.json"
ONE_RUN = {"spread_pct": None, "tolerance_pct": 5.0, "metric": "output_throughput", "runs": 1}
CASES = {
    "not run": ({"status": "not_run", "reason": "vLLM is not installed"}, ["vLLM is not installed"]),
    "dead server": (
        {"rates": [], "server_exit_status": -9, "verification": None},
        ["The server ended by itself, with status -9."],
    ),
    "no turn": (
        {"turn": {"factor": 2.0, "last_rate_before": None, "first_rate_after": None}, "runs": []},
        ["It does not turn up", "every request of every replay was answered in full"],
    ),
    "one replay": ({"verification": ONE_RUN}, ["only one run"]),
    "turned at once": (
        {"turn": {"factor": 2.0, "last_rate_before": None, "first_rate_after": 4.0}},
        ["Already at"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_load_is_described(tmp_path, name):
    change, words = CASES[name]
    page, summary = report_of(tmp_path, ("load_sweep", NAME, recorded(NAME) | change))
    assert all(part in page for part in words)
    if name == "not run":
        assert {entry["status"] for entry in summary.values()} == {"not_run"}


def test_each_latency_is_defined_in_the_caption_of_its_table(tmp_path):
    body = recorded(NAME)
    page, _ = report_of(tmp_path, ("load_sweep", NAME, body))
    (caption,) = (line for line in page.replace("\\", "").splitlines() if line.startswith("*Table.* TTFT: "))
    for name in ("ttft", "tpot", "itl", "e2e"):
        words = body["definitions"][f"{name}_p50"]["definition"].removesuffix(": 50th percentile")
        assert f"{name.upper()}: {words}." in caption
