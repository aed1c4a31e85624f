"""The table of the plan's tests agrees with the modules that run them, and takes ids that it lacks."""

import re
from pathlib import Path

import pytest

from vllm_lab.measure.document import PROMPTS, Test
from vllm_lab.plan import basics, code_quality, pairs, prefix_cache, scaling
from vllm_lab.plan.figures import draw
from vllm_lab.plan.tests import CHOICES, SUFFIX, TESTS, chosen, find, order

ROOT = Path(__file__).parents[2]
DEFINED: dict[str, Test] = {
    test.id: test
    for test in (
        *basics.TESTS,
        prefix_cache.TEST,
        *(pair.test for pair in pairs.PAIRS.values()),
        *scaling.tests([1, 2]).values(),
        code_quality.TEST,
    )
}


def test_the_table_has_every_test_that_a_module_runs_and_no_other():
    assert set(TESTS) == set(DEFINED)
    assert {test.id for test in TESTS.values() if test.kind == "pair"} == set(pairs.PAIRS)


@pytest.mark.parametrize("test", TESTS.values(), ids=TESTS)
def test_a_figure_shows_metrics_that_its_test_has(test):
    shown = [metric for panel in test.panels for metric in panel.metrics]
    assert set(shown) <= set(DEFINED[test.id].metrics)


@pytest.mark.parametrize("kind", sorted({test.kind for test in TESTS.values()}))
def test_every_kind_has_a_script(kind):
    assert (ROOT / f"scripts/plan_{kind}.py").is_file()


def test_places_are_in_the_table_s_order():
    places = [test.place for test in TESTS.values()]
    assert places == sorted(places)
    assert len(set(places)) == len(places)


def test_a_choice_is_a_job_on_generated_prompts_or_on_those_of_the_trace():
    assert chosen("basics_sharegpt") == ("throughput_sharegpt", "latency_sharegpt", "memory_sharegpt")
    assert {test for choice in CHOICES for test in chosen(choice)} == {
        test.on(prompts).id for name, test in DEFINED.items() if name != "code_quality" for prompts in PROMPTS
    }


def test_ids_sort_in_the_plan_s_order_and_unknown_ones_come_last():
    given = ["warp_drive", "memory", f"memory{SUFFIX}", "throughput", "anti_gravity", "weak_scaling"]
    assert sorted(given, key=order) == [
        "throughput",
        "memory",
        f"memory{SUFFIX}",
        "weak_scaling",
        "anti_gravity",
        "warp_drive",
    ]
    assert find(f"memory{SUFFIX}").place == "1.3"
    assert find("warp_drive") is None


def test_a_test_that_the_plan_does_not_have_is_drawn_by_its_headline(tmp_path):
    """A bundle from a newer version may hold one."""
    document = {
        "test_id": "warp_drive",
        "status": "measured",
        "verification": {"metric": "speed"},
        "runs": [{"run": number, "values": {"speed": 9.0}, "used": True} for number in range(2)],
        "results": {"speed": {"value": 9.0}},
    }
    draw(document, tmp_path / "warp_drive")
    assert (tmp_path / "warp_drive.png").stat().st_size


def test_the_page_has_every_test_with_its_place_and_its_question():
    page = (ROOT / "docs/plan.md").read_text()
    headings = re.findall(r"^### ([\d.]+) `(\w+)`\n\n- \*\*Question\*\*: (.+)$", page, re.MULTILINE)
    assert [(place, name) for place, name, _ in headings] == [
        (test.place, test.id) for test in TESTS.values()
    ]
    for _, name, question in headings:
        assert question == DEFINED[name].question[:1].lower() + DEFINED[name].question[1:]
