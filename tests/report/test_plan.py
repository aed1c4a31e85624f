"""The part of the plan: agreement of runs, the checklist, tests that were not run or are not in the plan."""

import pytest

from tests.report.example import recorded, report_of
from tests.report.words import HOSTILE
from vllm_lab.report.parts.plan import CHECKLIST

NAME = "plan/cpu/prefix_cache.json"


def shown(root, **documents):
    return report_of(root, *(("plan_x", f"plan/cpu/{name}.json", body) for name, body in documents.items()))


def measured(**changes) -> dict:
    return recorded(NAME) | changes


def verified(**changes) -> dict:
    return measured(verification=recorded(NAME)["verification"] | {"spread_pct": 1.5} | changes)


def test_a_test_that_did_not_run_gives_its_reason_and_no_number(tmp_path):
    body = recorded("plan/cpu/cuda_graphs.json") | {"reason": "vLLM is not installed"}
    page, summary = shown(tmp_path, cuda_graphs=body)
    assert {entry["status"] for entry in summary.values()} == {"not_run"}
    assert "vLLM is not installed" in page


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"within_tolerance": False}, "runs are not all within ±5 % of their mean"),
        ({"within_tolerance": True}, "runs are within ±5 % of their mean"),
        ({"spread_pct": None}, "only one run"),
    ],
)
def test_the_report_says_whether_the_runs_agree(tmp_path, changes, words):
    assert words in shown(tmp_path, prefix_cache=verified(**changes))[0]


def test_a_test_that_the_plan_does_not_know_is_shown_plainly_after_the_others(tmp_path):
    results = {"spin": {"value": 3.5, "unit": "furlongs"}}
    unknown = {"test_id": "warp_drive", "status": "measured", "results": results}
    page, summary = shown(tmp_path, warp_drive=unknown, prefix_cache=measured())
    assert page.index("### 2.1 Prefix cache") < page.index("### warp\\_drive")
    assert "| Spin | 3.50 furlongs |" in page
    assert summary["plan.warp_drive.spin"]["value"] == 3.5


def test_an_unknown_test_that_did_not_run_is_shown_plainly(tmp_path):
    page, _ = shown(tmp_path, warp_drive={"test_id": "warp_drive", "status": "not_run", "reason": HOSTILE})
    assert "### warp\\_drive" in page
    assert "What did not run, and why." in page


@pytest.mark.parametrize(
    ("kind", "words"), [("hits_by_analysis", "do not agree"), ("starts_agree", "agree to the block")]
)
def test_the_answer_on_hits_asks_the_checks_on_hits_in_any_order(tmp_path, kind, words):
    good = recorded(NAME)["checks"]
    failing = good[0] | {"kind": kind, "holds": False}
    page, _ = shown(tmp_path, prefix_cache=measured(checks=[*good, failing]))
    assert f"independent predictions of the hits {words}" in page


def test_without_checks_on_hits_the_answer_claims_no_agreement(tmp_path):
    page, _ = shown(tmp_path, prefix_cache=measured(checks=[]))
    assert "What does a prefix cache save on real vLLM here?" in page
    assert "predictions of the hits" not in page


def answers(root, **documents):
    """question -> (holds, evidence), of the documents under these names."""
    shown(root, **documents)
    lines = (root / "results/report/vllm_evaluation.md").read_text().splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines[lines.index("### The checklist of the plan") :]]
    return {row[0]: (row[1], row[2]) for row in rows if len(row) == 3}


@pytest.fixture
def good() -> dict:
    return verified(within_tolerance=True)


def test_a_whole_plan_ticks_every_box(tmp_path, good):
    found = answers(tmp_path, prefix_cache=good)
    assert {question for question in CHECKLIST if found[question][0] != "yes"} == set()


@pytest.mark.parametrize(
    ("question", "change"),
    [
        ("The same hardware throughout", {"hardware": {"cpu": "other", "cores": 2, "gpus": []}}),
        ("The same model and weights throughout", {"parameters": {"model": "other", "weights": "dummy"}}),
        ("Each number has its method", {"method": ""}),
        (
            "No outside data",
            {"results": {"speedup": recorded(NAME)["results"]["hit_tokens"] | {"value": 1e9}}},
        ),
        ("Optimisations paired, off and on", {"environments": {"on": {}}}),
        ("Synchronised timing", {"how_obtained": "a stopwatch"}),
        ("Repeated until runs agree", {"verification": verified(within_tolerance=False)["verification"]}),
        ("Independently verifiable", {"checks": [recorded(NAME)["checks"][0] | {"holds": False}]}),
    ],
)
def test_a_box_is_not_ticked_where_a_test_does_not_hold_it(tmp_path, good, question, change):
    bad = good | {"test_id": "scheduler"} | change
    if "results" in change:
        run = bad["runs"][0]
        bad["runs"] = [run | {"values": run["values"] | {"speedup": 1.0}}]
    assert answers(tmp_path, prefix_cache=good, scheduler=bad)[question][0] == "no"
