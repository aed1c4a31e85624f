"""The plan's checklist is answered by the documents."""

import pytest

from tests.report.documents.measured import benchmark
from tests.report.example import write_report
from tests.report.project import Project
from vllm_lab.report.parts.checklist import CHECKLIST


def answers(root, **documents):
    """question -> (holds, evidence), of tests under these names."""
    project = Project(root)
    files = [
        file
        for name, document in documents.items()
        for file in project.job(
            "bench_pair",
            {f"results/plan/cpu/{name}.json": document},
            kind="measured",
            wildcards={"test": name},
        )
    ]
    lines = (write_report(root, files) / "vllm_evaluation.md").read_text().splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines[lines.index("## The plan's checklist") :]]
    return {row[0]: (row[1], row[2]) for row in rows if len(row) == 3}


@pytest.fixture
def good() -> dict:
    """Its values are those of its only run that counts."""
    results = {name: {**found, "value": 2.0} for name, found in benchmark()["results"].items()}
    return benchmark() | {"results": results, "how_obtained": "time.perf_counter"}


def test_a_whole_plan_ticks_every_box(tmp_path, good):
    found = answers(tmp_path, prefix_cache=good)
    assert {question for question in CHECKLIST if found[question][0] != "yes"} == set()


@pytest.mark.parametrize(
    ("question", "change"),
    [
        ("The same hardware throughout", {"hardware": {"cpu": "other", "cores": 2, "gpus": []}}),
        ("No outside data", {"results": benchmark()["results"]}),  # 0.5, where the run that counts gave 2
        ("Optimisations paired, off and on", {"environments": {"on": {}}}),
        ("Synchronised timing", {"how_obtained": "a stopwatch"}),
        (
            "Repeated until runs agree",
            {"verification": benchmark()["verification"] | {"within_tolerance": False}},
        ),
        ("Independently verifiable", {"checks": [benchmark()["checks"][0] | {"holds": False}]}),
    ],
)
def test_a_box_is_not_ticked_where_a_test_does_not_hold_it(tmp_path, good, question, change):
    bad = good | {"test_id": "scheduler"} | change
    assert answers(tmp_path, prefix_cache=good, scheduler=bad)[question][0] == "no"
