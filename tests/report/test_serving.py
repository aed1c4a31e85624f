"""The server replay's section where there was none, or nothing could be sent."""

import json

import pytest

from tests.report.documents.measured import server_replay
from tests.report.example import write_report
from tests.report.project import Project

ACCOUNTS = {
    "not run": ({"status": "not_run", "reason": "vLLM is not installed"}, ["vLLM is not installed"]),
    "dead server": (
        server_replay() | {"rates": [], "server_exit_status": -9},
        ["Every error, as it came. The server ended by itself, with status -9."],
    ),
    "no turn": (
        server_replay()
        | {"turn": {"factor": 2.0, "last_rate_before": None, "first_rate_after": None}}
        | {"runs": [], "verification": None},
        ["it does not", "every request of every replay was answered in full"],
    ),
    "one replay": (
        server_replay() | {"verification": {"spread_pct": None, "tolerance_pct": 5.0}},
        ["nothing is verified"],
    ),
    "turned at once": (
        server_replay() | {"turn": {"factor": 2.0, "last_rate_before": None, "first_rate_after": 2.0}},
        ["Already at"],
    ),
}


@pytest.mark.parametrize("name", ACCOUNTS)
def test_every_kind_of_account_is_told(tmp_path, name):
    account, words = ACCOUNTS[name]
    files = Project(tmp_path).job(
        "load_predict", {"results/load/load.json": account}, kind="measured"
    )
    folder = write_report(tmp_path, files)
    told = (folder / "report.md").read_text()
    assert all(part in told for part in words)
    if account["status"] == "not_run":
        summary = json.loads((folder / "summary.json").read_text())
        assert {entry["status"] for entry in summary.values()} == {"not_run"}
