"""Other people's traces through an engine, beside the sweep."""

import json
import re


def test_the_engines_hit_rate_stands_beside_the_sweeps_at_its_usable_capacity(written):
    page = (written / "report.md").read_text(encoding="utf-8")
    (row,) = re.findall(r"^\| Mooncake conversation, scarce \|.*$", page, re.MULTILINE)
    assert [cell.strip() for cell in row.split("|")[2:5]] == ["512", "0 %", "21.6 %"]
    summary = json.loads((written / "summary.json").read_text())
    assert summary["sweeps.mooncake_conversation.block_16.lru.8176"]["value"] == 0.2157


def test_the_imported_replay_is_none_of_the_schedulers_comparison(written):
    page = (written / "report.md").read_text(encoding="utf-8")
    assert "Mooncake conversation trace, scarce memory" not in page


def test_exports_and_their_commands_are_told(written):
    page = (written / "report.md").read_text(encoding="utf-8")
    assert "For other tools" in page
    assert "results/traces/exports/a" in page
