"""An experiment's file: what is read, what is refused and how it is named, and what a pin holds."""

from pathlib import Path

import pytest
import yaml

from vllm_lab.common.errors import LabError
from vllm_lab.common.schema import load
from vllm_lab.experiments import __main__ as command
from vllm_lab.experiments.spec import (
    PINS_FILE,
    SCHEMA,
    Experiment,
    Reference,
    Run,
    Term,
    pin_state,
    read_pins,
)
from vllm_lab.replay.comparison import ENGINES

ROOT = Path(__file__).parents[2]
GIVEN = {
    "title": "A title",
    "question": "Why?",
    "trace": "multi_turn",
    "settings": {"requests": 9, "num_blocks": 20, "prefix_caching": False},
    "runs": {
        "mini": {"lru": {"engine": "v2_lru"}},
        "vllm": {"vllm": {"engine": "vllm_scheduler", "prefix_caching": True}},
    },
    "comparisons": {"both": {"mini": "lru", "vllm": "vllm"}},
    "predictions": [
        {"id": "p", "statement": "s", "why": "w", "metric": "lru.steps", "relation": "equal", "value": 3}
    ],
}


def written(folder: Path, **changes) -> Path:
    path = folder / "exp007.yaml"
    path.write_text(yaml.safe_dump({**GIVEN, **changes}, sort_keys=False))
    return path


def predicted(**changes) -> list[dict]:
    return [{**GIVEN["predictions"][0], **changes}]


def test_the_projects_own_experiments_are_pinned_and_unchanged():
    known = read_pins(ROOT / "experiments" / PINS_FILE)
    for path in sorted((ROOT / "experiments").glob("*.yaml")):
        assert pin_state(known, Experiment.read(path)) == "pinned", path


def test_the_schema_names_the_engines_that_there_are():
    assert load(SCHEMA)["$defs"]["run"]["properties"]["engine"]["enum"] == list(ENGINES)


def test_a_version_that_the_table_lacks_is_named_and_a_new_one_is_known(tmp_path, monkeypatch):
    path = written(tmp_path, runs={"mini": {"lru": {"engine": "v9_magic"}}}, comparisons={})
    with pytest.raises(LabError, match=r"yaml: runs\.mini\.lru\.engine: found 'v9_magic', allowed: v1"):
        Experiment.read(path)
    monkeypatch.setattr("vllm_lab.replay.comparison.ENGINES", (*ENGINES, "v9_magic"))
    assert Experiment.read(path).runs["lru"].engine == "v9_magic"


def test_a_runs_own_settings_overrule_the_experiments(tmp_path):
    experiment = Experiment.read(written(tmp_path))
    shared = ["--limit", "9", "--num-blocks", "20"]
    assert experiment.runs["lru"].flags == ["--engine", "v2_lru", *shared, "--no-prefix-caching"]
    assert experiment.runs["vllm"].flags == [*shared, "--prefix-caching"]


@pytest.mark.parametrize(
    ("engine", "settings", "rule"),
    [
        ("v2_lru", {}, "experiments_mini"),
        ("vllm_scheduler", {}, "experiments_oracle"),
        ("vllm", {}, "experiments_real"),
        ("v2_lru", {"profiler": "nsys"}, "nsight_mini"),
        ("vllm", {"profiler": "nsys"}, "nsight_vllm"),
    ],
)
def test_the_engine_and_the_profiler_choose_the_rule(engine, settings, rule):
    assert Run("mini", engine, settings).rule == rule


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trace": "mine"}, ["trace", "single_turn | multi_turn"]),
        ({"colour": 1}, ["colour", "no such key"]),
        ({"title": ""}, ["title", "non-empty"]),
        ({"runs": {"mini": {"lru": {"engine": "v5"}}}}, ["runs.mini.lru.engine", "v4_prefix"]),
        ({"comparisons": {"both": {"mini": "lru", "vllm": "nobody"}}}, ["comparisons.both", "nobody"]),
        ({"comparisons": {"lru": {"mini": "lru", "vllm": "vllm"}}}, ["lru is the name of two"]),
        (
            {"runs": {"mini": GIVEN["runs"]["mini"], "vllm": GIVEN["runs"]["mini"]}, "comparisons": {}},
            ["lru is the name of two"],
        ),
        ({"predictions": predicted(metric="lru.beauty")}, ["predictions.p", "no metric beauty", "ttft_p95"]),
        ({"predictions": predicted(metric="fifo.steps")}, ["predictions.p", "fifo is neither"]),
        ({"predictions": predicted(metric="both.steps")}, ["both has no metric", "differing_steps"]),
        ({"predictions": predicted(metric="lru.steps[priority 1]")}, ["no metric steps"]),
        (
            {"predictions": predicted(metric="both.equal_steps[priority 1]")},
            ["predictions.p", "both is a comparison", "no priorities"],
        ),
        ({"predictions": predicted(metric="steps")}, ["predictions.p", "names no metric", "run.metric"]),
        ({"predictions": predicted(metric="lru.steps / vllm.steps / lru.steps")}, ["two parts"]),
        ({"predictions": predicted(relation="within")}, ["tolerance"]),
        ({"predictions": predicted() * 2}, ["the id p is given twice"]),
    ],
)
def test_a_mistake_is_named_with_its_file_and_key(tmp_path, changes, words):
    with pytest.raises(LabError) as caught:
        Experiment.read(written(tmp_path, **changes))
    for word in words:
        assert word in str(caught.value)
    assert "exp007.yaml: " in str(caught.value)


def captured(**settings) -> dict:
    return {"runs": {"mini": {"lru": {"engine": "v2_lru"}, "seen": {"profiler": "nsys", **settings}},
                     "vllm": {"vllm": {"engine": "vllm_scheduler"}}}}  # fmt: skip


def test_a_captured_run_has_the_captures_metrics_too(tmp_path):
    entries = [*predicted(metric="seen.schedule_mean"), *predicted(id="run", metric="seen.steps")]
    experiment = Experiment.read(written(tmp_path, **captured(engine="vllm"), predictions=entries))
    run = experiment.runs["seen"]
    assert run.is_captured
    assert not {"--engine", "--profiler"} & set(run.flags)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"predictions": predicted(metric="lru.schedule_mean")}, "lru has no metric schedule_mean"),
        (captured(engine="vllm_scheduler"), "runs.mini.seen"),
        ({"runs": {"mini": {"lru": {"engine": "vllm", "layer_ranges": True}}}}, "profiler"),
        (captured(engine="v4_prefix", layer_ranges=True), "runs.mini.seen.engine: .*'vllm' was expected"),
    ],
)
def test_what_only_a_profiler_gives_is_asked_of_captured_runs_alone(tmp_path, changes, words):
    with pytest.raises(LabError, match=words):
        Experiment.read(written(tmp_path, **changes))


def test_references_are_read_as_they_are_written():
    for text in ("a.b", "a.ttft_p95[priority -1]", "a.b / c.d[priority 2]"):
        assert str(Reference.parse(text)) == text
    assert Reference.parse("a.b[priority 2]").terms == (Term("a", "b", "2"),)


def test_a_pin_holds_everything_but_the_aha(tmp_path):
    path = written(tmp_path)
    command.main(["pin", str(path)])
    known = read_pins(tmp_path / PINS_FILE)
    assert pin_state(known, Experiment.read(path)) == "pinned"
    assert pin_state(known, Experiment.read(written(tmp_path, aha="Now I see."))) == "pinned"
    changed = Experiment.read(written(tmp_path, settings={"requests": 8, "num_blocks": 20}))
    assert pin_state(known, changed) == "changed"
    assert pin_state([], changed) == "unpinned"


def test_pins_are_added_and_never_replaced_and_not_after_a_run(tmp_path):
    command.main(["pin", str(written(tmp_path))])
    with pytest.raises(LabError, match="pinned already"):
        command.main(["pin", str(tmp_path / "exp007.yaml")])
    with pytest.raises(LabError, match="it was run"):
        command.main(["pin", str(written(tmp_path, title="Another", aha="I knew it."))])
    command.main(["pin", str(written(tmp_path, title="Another"))])
    assert len(read_pins(tmp_path / PINS_FILE)) == 2


def test_check_says_what_a_file_asks_for(tmp_path, capsys):
    command.main(["check", str(written(tmp_path))])
    assert capsys.readouterr().out == "exp007: 2 runs, 1 comparisons, 1 predictions, unpinned\n"
