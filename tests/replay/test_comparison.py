"""Comparing replays by their files: the same findings as in memory, and as JSON."""

import importlib
import json
from dataclasses import replace

import pytest

from mini_vllm.clock import Clock
from mini_vllm.limits import Limits
from mini_vllm.tools.records import COLUMNS
from mini_vllm.tools.versions import VERSIONS, Version
from vllm_lab.common.errors import LabError
from vllm_lab.oracle import engine as oracle
from vllm_lab.replay import figures, mini
from vllm_lab.replay.comparison import compare, compare_all
from vllm_lab.replay.records import (
    ORACLES,
    REQUEST_COLUMNS,
    SCHEDULER,
    RunFiles,
    StoredRun,
    simulated_record,
    stored_runs,
)
from vllm_lab.replay.replay import Refusal, TracedRequest


@pytest.fixture
def store(tmp_path, requests, limits):
    """Write a replay's files; its record's path."""

    def write(engine_name, result, memory="scarce"):
        name = f"{engine_name}.hand.{memory}"
        is_oracle = engine_name.startswith("vllm")
        who, more = (SCHEDULER, {"vllm_version": "0.32.0"}) if is_oracle else (engine_name, {})
        record = simulated_record(who, requests, limits, result, **more)
        RunFiles.of(str(tmp_path / name)).write(result, record)
        return tmp_path / f"{name}.json"

    return write


def changed(result, at, **fields):
    steps = list(result.steps)
    steps[at] = replace(steps[at], **fields)
    return replace(result, steps=steps)


def test_what_is_read_is_what_was_written(store, result):
    run = StoredRun(store("v2_lru", result))
    assert (list(run.steps), run.requests, run.refused) == (result.steps, result.requests, result.refused)
    assert run.name == "v2_lru.hand.scarce"


def test_files_compare_as_the_replays_in_memory_do(store, result):
    other = changed(result, 2, scheduled={"c": 6, "a": 1})
    stored = compare(StoredRun(store("vllm_cached", result)), StoredRun(store("v4_prefix", other)))
    assert stored == compare(result, other)
    assert (stored.steps.equal, stored.steps.differing, stored.steps.fields) == (4, 1, {"scheduled": 1})


def test_equal_files_are_equal_and_have_no_first_difference(store, result):
    runs = stored_runs([store("vllm_cached", result), store("v4_prefix", result)])
    (found,) = compare_all(runs)
    assert (found["equal"], found["equal_steps"], found["differing_steps"]) == (True, 5, 0)
    assert found["first_difference"] is None
    assert found["metrics"]["ttft_mean"] == {"vllm": 1.5, "mini": 1.5, "relative_difference": 0.0}


def test_the_first_difference_has_both_sides_and_the_step_before_with_their_order(store, result):
    other = changed(result, 2, scheduled={"c": 6, "a": 1})
    (found,) = compare_all(stored_runs([store("vllm_uncached", result), store("v3_priority", other)]))
    first = found["first_difference"]
    assert (first["step"], first["fields"]) == (2, ["scheduled"])
    assert list(json.loads(first["mini"])["scheduled"]) == ["c", "a"]
    assert list(json.loads(first["vllm"])["scheduled"]) == ["a", "c"]
    assert json.loads(first["before"])["step"] == 1


def test_requests_differ_by_column_and_metrics_by_share(store, result):
    rows = [*result.requests[:4], replace(result.requests[4], ttft=2.0, e2e=2.0)]
    other = replace(result, requests=rows)
    (found,) = compare_all(stored_runs([store("vllm_uncached", result), store("v2_lru", other)]))
    assert (found["differing_requests"], found["request_columns"]) == (1, {"ttft": 1, "e2e": 1})
    assert found["metrics"]["ttft_mean"]["relative_difference"] == pytest.approx(0.25 / 1.5)
    assert not found["equal"]


def test_refusals_differ_too(store, result):
    other = replace(result, refused=[Refusal("d", "too large")])
    (found,) = compare_all(stored_runs([store("vllm_uncached", result), store("v2_lru", other)]))
    assert (found["differing_steps"], found["differing_refusals"], found["equal"]) == (0, 1, False)


def test_v1s_crash_is_reported_with_what_vllm_does_in_that_step(tmp_path):
    pytest.importorskip("vllm")
    requests = [TracedRequest(name, 0.0, 0, [1] * 4, [2] * 5) for name in "abc"]
    limits = Limits(num_blocks=6, block_size=4, prefix_caching=False, clock=Clock(1.0, 0.0, 0.0))
    v1, vllm = mini.run("v1_naive", requests, limits), oracle.run(requests, limits)
    runs = {
        "v1_naive": (v1, simulated_record("v1_naive", requests, limits, v1)),
        "vllm_uncached": (vllm, simulated_record(SCHEDULER, requests, limits, vllm, vllm_version="0.32.0")),
    }
    for name, (result, record) in runs.items():
        RunFiles.of(str(tmp_path / f"{name}.tour.scarce")).write(result, record)
    records = [tmp_path / f"{name}.tour.scarce.json" for name in runs]
    (found,) = compare_all(stored_runs(records))
    assert (found["crash"]["step"], found["crash"]["finished"], found["equal_steps"]) == (1, 0, 1)
    assert json.loads(found["crash"]["vllm"])["preempted"] == ["c"]
    assert found["first_difference"]["mini"] is None


def test_a_version_that_the_table_gains_is_compared_and_drawn_without_any_edit(
    store, result, monkeypatch, tmp_path
):
    monkeypatch.setitem(VERSIONS, "v9_new", Version(caches=True, exact=True))
    fresh = importlib.reload(figures)
    try:
        names = (*VERSIONS, *ORACLES)
        runs = stored_runs(store(name, result, memory) for name in names for memory in ("ample", "scarce"))
        compared = compare_all(runs)
        fresh.draw_all(runs, compared, "hand", dict.fromkeys(("a", "b", "c", "big", "d"), 4), tmp_path)
    finally:
        monkeypatch.undo()
        importlib.reload(figures)
    assert [found["against"] for found in compared if found["version"] == "v9_new"] == ["vllm_cached"] * 2
    drawn = {file.stem for file in tmp_path.glob("*.svg") if "v9_new" in file.read_text()}
    assert drawn == {"latency_histograms", "running_waiting_blocks", "hit_rate_over_time", "divergence"}


def test_a_replay_of_an_engine_that_nobody_knows_is_an_error_and_is_not_dropped(store, result):
    runs = stored_runs([store("vllm_cached", result), store("v7_unknown", result)])
    with pytest.raises(LabError, match=r"v7_unknown\.hand\.scarce: no engine 'v7_unknown'.*v4_prefix"):
        compare_all(runs)


def test_a_replay_without_vllms_replay_to_compare_it_with_is_an_error_that_names_both(store, result):
    runs = stored_runs([store("vllm_uncached", result), store("v4_prefix", result)])
    with pytest.raises(LabError, match=r"v4_prefix\.hand\.scarce: .*vllm_cached, is missing"):
        compare_all(runs)


def test_the_table_of_requests_has_mini_vllms_columns():
    assert tuple(REQUEST_COLUMNS) == COLUMNS


def test_a_file_that_is_no_replays_is_named(tmp_path, store, result):
    with pytest.raises(LabError, match=r"ENGINE\.TRACE\.MEMORY\.json"):
        stored_runs([tmp_path / "summary.json"])
    run = StoredRun(store("v2_lru", result))
    steps = tmp_path / "v2_lru.hand.scarce.steps.jsonl"
    steps.write_text(steps.read_text() + '{"step": 5}\n')
    with pytest.raises(LabError, match=r"steps\.jsonl: line 6"):
        list(run.steps)
