"""The configuration as flags, and the files that follow from it."""

import copy
from pathlib import Path

import pytest
import yaml

from vllm_lab.common.errors import LabError
from vllm_lab.experiments.spec import Experiment
from vllm_lab.workflow import files, flags

ROOT = Path(__file__).parents[2]
GIVEN = yaml.safe_load((ROOT / "config.yaml").read_text())


@pytest.fixture
def config(monkeypatch):
    """config.yaml, to change at will; the working directory is the project's root."""
    monkeypatch.chdir(ROOT)
    return copy.deepcopy(GIVEN)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"max_num_seqs": 4}, ["--max-num-seqs", "4"]),
        ({"sizes": [8, 16], "rate": 2.0}, ["--sizes", "8", "16", "--rate", "2.0"]),
        ({"fast": True, "slow": False, "name": ""}, ["--fast"]),
        ({"limit": 0}, ["--limit", "0"]),
    ],
)
def test_a_mapping_becomes_flags(values, words):
    assert flags.of(values) == words


def test_a_source_gives_its_own_flags_or_its_path():
    hub = {"repo": "me/mine", "revision": "abc"}
    assert flags.source({"source": "hub", "hub": hub, "path": ""}) == [
        "--source", "hub", "--repo", "me/mine", "--revision", "abc"
    ]  # fmt: skip
    assert flags.source({"source": "path", "hub": hub, "path": "a.json"}) == [
        "--source", "path", "--path", "a.json"
    ]  # fmt: skip


def test_an_imported_trace_is_replayed_whole_and_in_blocks_of_its_own(config):
    config["replay"] |= {"requests": 30, "block_size": 16}
    config["traces"]["imported"] = {"theirs": {"block_tokens": 512}}
    own, imported = flags.replay(config), flags.replay(config, "theirs")
    assert own[:4] == ["--limit", "30", "--block-size", "16"]
    assert imported[:2] == ["--block-size", "512"]
    assert own[4:] == imported[2:]
    assert "--capacities-blocks" in flags.sweep(config, "theirs")
    assert "--capacities-tokens" in flags.sweep(config, "multi_turn")


def test_a_test_of_the_plan_takes_dummy_weights_and_prompts_of_a_trace_where_they_are_given(config):
    config["plan"]["cpu"]["dummy_weights_of"] = ""
    plain = flags.plan(config, "cpu", "basics")
    assert plain[plain.index("--model-dir") + 1] == "results/data/model"
    assert "--prompts" not in plain
    config["plan"]["cpu"]["dummy_weights_of"] = "resources/shapes/big"
    shaped = flags.plan(config, "cpu", "basics", "t.parquet")
    assert shaped[shaped.index("--model-name") + 1] == "big"
    assert shaped[-4:] == ["--prompts", "sharegpt", "--trace", "t.parquet"]


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda c: c["sharegpt"].update(source="path", path="nowhere"), "sharegpt.path: nowhere"),
        (lambda c: c["model"].update(source="path", path="nowhere"), "model.path: nowhere"),
        (lambda c: c["traces"].update(chat_template="no.jinja"), "traces.chat_template: no.jinja"),
        (
            lambda c: c["traces"]["imported"].update(x={"path": "nowhere"}),
            "traces.imported.x.path: nowhere",
        ),
        (
            lambda c: c["plan"]["cpu"].update(dummy_weights_of="nowhere"),
            "plan.cpu.dummy_weights_of: nowhere/config.json",
        ),
        (lambda c: c["plan"].update(code_quality=["nowhere"]), "plan.code_quality.0: nowhere"),
    ],
)
def test_a_path_that_is_not_there_is_named_by_its_key(config, change, key):
    files.check_paths(config, "cpu")
    change(config)
    with pytest.raises(LabError, match=f"config: {key}: no such file or folder"):
        files.check_paths(config, "cpu")


def test_a_trace_is_exported_in_each_format_that_can_hold_it(config):
    config["exports"]["formats"] = ["mooncake", "sharegpt"]
    config["traces"]["imported"] = {"theirs": {}}
    names = {Path(file).name for file in files.exports(config)}
    assert "theirs.mooncake.jsonl" in names
    assert "multi_turn.sharegpt.json" in names
    assert "theirs.sharegpt.json" not in names


def test_every_replay_has_its_files_for_both_engines(config):
    made = files.replays(config, "json")
    assert len(made) == len(set(made)) == 2 * 2 * (len(files.VERSIONS) + 2)
    assert "results/replay/v1_naive.single_turn.ample.json" in made
    assert "results/oracle/vllm_cached.multi_turn.scarce.json" in made


def test_the_plan_s_documents_are_those_of_the_jobs_that_make_its_tests(config):
    config["plan"]["tests"] = ["basics_sharegpt", "scheduler"]
    assert files.plan_tests(config) == [
        "throughput_sharegpt", "latency_sharegpt", "memory_sharegpt", "scheduler"
    ]  # fmt: skip
    jobs = dict(files.report_jobs(config, "cpu", {}))
    assert jobs["plan/plan_basics.cpu_sharegpt"] == [
        f"plan/cpu/{test}_sharegpt.json" for test in ("throughput", "latency", "memory")
    ]
    assert jobs["plan/plan_pair.cpu.scheduler"] == ["plan/cpu/scheduler.json"]


def test_what_is_built_is_no_file_of_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("envs/core.lock", "envs/cuda.sif", "src/a.py", "src/__pycache__/a.pyc", "src/x.egg-info/R"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert [name for name in files.project() if "/" in name] == ["envs/core.lock", "src/a.py"]


def test_a_plan_without_tests_has_no_figures(config):
    config["plan"]["tests"] = []
    assert "plan/plan_figures" not in dict(files.report_jobs(config, "cpu", {}))


def test_a_captured_run_adds_its_capture(config):
    experiments = {p.stem: Experiment.read(p) for p in sorted((ROOT / "experiments").glob("*.yaml"))}
    runs = files.runs_of(experiments)
    captured = {name for name, run in runs.items() if run.is_captured}
    listed = {file for e in experiments.values() for file in files.experiment(e)}
    assert captured
    assert {f for f in listed if "/nsight/" in f} == {f"results/nsight/{name}.json" for name in captured}
    assert {f"results/experiments/{name}.events.txt" for name in runs} <= listed


def test_the_report_shows_each_file_once_and_no_figure_of_captures_that_are_not_made(config):
    everything = files.report_results(config, "cpu", {})
    assert len(everything) == len(set(everything))
    assert not [file for file in everything if "nsight" in file]
    assert "results/replay/figures/divergence.svg" in everything


def test_the_limits_that_judge_a_load_are_no_setting_of_its_measurement(config):
    measured, judging = flags.load(config["load"]), flags.judging(config["load"])
    assert "--rates" in measured
    assert "--limit-ttft" in judging
    names = {word for words in (measured, judging) for word in words if word.startswith("--")}
    assert len(names) == len(config["load"])
    assert not set(measured) & {word for word in judging if word.startswith("--")}
