"""The part on replays: decisions in words, versions of the table, engines that it lacks, imported traces."""

import json
import re

import pytest

from mini_vllm.tools.versions import VERSIONS
from tests.report.example import content, recorded, report_of

SCARCE = "multi_turn.scarce.json"


@pytest.fixture
def markdown(written):
    return (written / "report.md").read_text(encoding="utf-8")


@pytest.fixture
def runs() -> dict:
    """(version, trace, memory) -> run of the comparison."""
    found = content("results/replay/comparison.json")["runs"]
    return {(run["version"], run["trace"], run["memory"]): run for run in found}


def prose(markdown: str, start: str) -> str:
    """The paragraph that begins so, without Markdown's marks."""
    line = next(line for line in markdown.replace("\\", "").splitlines() if line.startswith(start))
    return line.replace("`", "")


def test_the_end_of_the_naive_scheduler_is_described_with_what_vllm_does_instead(markdown, runs):
    crash = runs["v1_naive", "multi_turn", "scarce"]["crash"]
    step = json.loads(crash["vllm"])
    said = prose(markdown, f"Multi-turn, scarce memory: v1_naive ends in step {crash['step']:,}")
    assert f"{crash['finished']} requests had finished" in said
    assert f"preempts {step['preempted'][0]}, continues" in said
    assert f"{step['free_blocks']} free blocks at the end" in said


def test_a_first_difference_is_described_from_both_sides(markdown, runs):
    first = runs["v2_lru", "multi_turn", "scarce"]["first_difference"]
    vllm, mini = (json.loads(first[side]) for side in ("vllm", "mini"))
    said = prose(
        markdown, f"v2_lru, Multi-turn, scarce memory: all decisions are equal before step {first['step']:,}."
    )
    assert f"vLLM preempts {vllm['preempted'][0]}, v2_lru {mini['preempted'][0]}" in said
    assert said.endswith(f"vLLM has {vllm['free_blocks']} free blocks, v2_lru {mini['free_blocks']}.")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_is_said_to_agree_or_not_over_the_replays_that_ran(markdown, runs, version):
    mine = [run for key, run in runs.items() if key[0] == version and run["status"] != "not_run"]
    equal = sum(run["equal_steps"] for run in mine)
    differing = sum(run["differing_steps"] for run in mine)
    if all(run["equal"] for run in mine):
        assert f"all {equal:,} steps" in prose(markdown, f"{version} does:")
    else:
        assert f"{differing:,} steps differ" in prose(markdown, f"{version} does not: {equal:,}")


def test_a_comparison_without_vllm_is_not_run_with_its_reason(summary):
    entry = summary["replay.compared.v3_priority.single_turn.scarce.equal_steps"]
    assert (entry["status"], entry["value"]) == ("not_run", None)
    assert "vLLM is not installed" in entry["reason"]
    assert summary["replay.v4_prefix.multi_turn.scarce.preemptions"]["status"] == "simulated"


def test_an_engine_that_the_table_of_versions_lacks_has_a_column_under_its_name(tmp_path):
    jobs = [("replay_mini", f"replay/{name}.{SCARCE}", recorded(f"replay/v4_prefix.{SCARCE}"))
            for name in ("v4_prefix", "v9_warp")]  # fmt: skip
    page, summary = report_of(tmp_path, *jobs)
    assert re.search(r"^\| Metric \| v4\\_prefix \| v9\\_warp \|$", page, re.MULTILINE)
    assert "replay.v9_warp.multi_turn.scarce.finished" in summary


def test_an_imported_trace_has_the_sweeps_hit_rate_at_the_engines_usable_capacity(markdown, summary):
    replay = recorded("replay/v4_prefix.mooncake_conversation.scarce.json")
    (row,) = re.findall(r"^\| Mooncake conversation, scarce memory \|.*$", markdown, re.MULTILINE)
    blocks, size = replay["limits"]["num_blocks"], replay["limits"]["block_size"]
    cells = [cell.strip() for cell in row.split("|")[3:6]]
    assert cells[0] == f"{blocks:,}"
    swept = f"sharing.sweeps.mooncake_conversation.block_{size}.lru.{(blocks - 1) * size}"
    assert (cells[2] == "–") == (swept not in summary)


def test_imported_replays_are_not_in_the_comparison_of_schedulers(markdown):
    assert "Mooncake conversation, scarce memory. All times are virtual." not in markdown
