"""Verdicts are computed from the runs' records, each relation as it says; what is absent is not run."""

import json
from dataclasses import replace

import pytest

from mini_vllm.limits import Limits
from tests.experiments.test_spec import predicted, written
from vllm_lab.experiments.progress import progress
from vllm_lab.experiments.spec import Experiment, Prediction, Reference
from vllm_lab.experiments.verdicts import Observations, judge, verdict_document
from vllm_lab.replay import mini
from vllm_lab.replay.records import RunFiles, simulated_record
from vllm_lab.replay.replay import TracedRequest

RUN = {
    "status": "simulated",
    "metrics": {"steps": 10, "ttft_mean": 2.0, "crash_step": None},
    "metrics_by_priority": {"1": {"ttft_mean": 8.0}},
}
SEEN = Observations(
    {"a": RUN, "real": {**RUN, "status": "measured"}, "absent": {"status": "not_run", "reason": "no vLLM"}},
    {"both": {"status": "simulated", "differing_steps": 3, "first_difference": None}},
    {
        "a": {"status": "measured", "results": {"step_p50": {"value": 0.5, "unit": "s"}},
              "absent": {"copy_share": "no copy was traced"}},
        "absent": {"status": "not_run", "reason": "no nsys", "results": {}, "absent": {}},
    },
)  # fmt: skip


def prediction(metric, relation, value, times=1.0, tolerance=0.0):
    value = Reference.parse(value) if isinstance(value, str) else value
    return Prediction("p", "s", "w", Reference.parse(metric), relation, value, times, tolerance)


@pytest.mark.parametrize(
    ("relation", "value", "holds"),
    [
        ("equal", 10, True), ("equal", 11, False),
        ("at most", 10, True), ("at most", 9, False),
        ("at least", 10, True), ("at least", 11, False),
        ("less than", 10, False), ("less than", 11, True),
        ("more than", 10, False), ("more than", 9, True),
    ],
)  # fmt: skip
def test_relations(relation, value, holds):
    entry = judge(prediction("a.steps", relation, value), SEEN)
    assert entry["verdict"] == ("confirmed" if holds else "refuted")
    assert (entry["observed"], entry["bound"], entry["unit"]) == (10, value, "steps")


@pytest.mark.parametrize(("tolerance", "verdict"), [(0.25, "confirmed"), (0.24, "refuted")])
def test_within_is_relative_to_the_bound(tolerance, verdict):
    assert judge(prediction("a.steps", "within", 8, tolerance=tolerance), SEEN)["verdict"] == verdict


def test_times_multiplies_the_bound_and_priorities_and_quotients_are_found():
    entry = judge(prediction("a.ttft_mean[priority 1]", "equal", "a.ttft_mean", times=4), SEEN)
    assert (entry["verdict"], entry["bound"], entry["unit"]) == ("confirmed", 8.0, "s")
    entry = judge(prediction("a.ttft_mean[priority 1] / a.ttft_mean", "equal", 4), SEEN)
    assert (entry["verdict"], entry["unit"]) == ("confirmed", "x")
    assert judge(prediction("both.differing_steps", "equal", 3), SEEN)["verdict"] == "confirmed"


def test_what_rests_on_a_real_run_is_measured():
    assert judge(prediction("a.steps", "equal", "real.steps"), SEEN)["status"] == "measured"
    assert judge(prediction("a.steps", "equal", "a.steps"), SEEN)["status"] == "simulated"


def test_a_captures_number_is_measured_whatever_the_run_is():
    entry = judge(prediction("a.step_p50", "less than", 1), SEEN)
    assert (entry["verdict"], entry["status"], entry["unit"]) == ("confirmed", "measured", "s")


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ("absent.steps", "absent: no vLLM"),
        ("absent.step_p50", "absent: no nsys"),
        ("a.copy_share", "no copy was traced"),
        ("a.crash_step", "a.crash_step has no value"),
        ("a.ttft_mean[priority 7]", "no request of priority 7"),
        ("both.first_difference", "no value"),
        ("a.steps / a.crash_step", "no value"),
    ],
)
def test_what_does_not_exist_is_not_run_with_the_reason(metric, reason):
    for given in (prediction(metric, "equal", 1), prediction("a.steps", "equal", metric)):
        entry = judge(given, SEEN)
        assert entry["verdict"] == "not_run"
        assert reason in entry["reason"]
        assert "observed" not in entry


@pytest.fixture
def document(tmp_path):
    """An experiment whose two runs are v1, which dies, and v3, which takes vLLM's decisions."""
    requests = [TracedRequest(name, 0.0, 0, [1] * 4, [2] * 5) for name in "abc"]
    limits = Limits(num_blocks=6, block_size=4, prefix_caching=False)
    runs = {"mini": {"lru": {"engine": "v1_naive"}}, "vllm": {"vllm": {"engine": "v3_priority"}}}
    entries = [
        *predicted(id="dies", metric="vllm.first_preemption_step", value="lru.crash_step"),
        *predicted(id="alike", metric="both.differing_steps", value=0),
        *predicted(id="none", metric="vllm.crash_step", value=0),
    ]
    experiment = Experiment.read(written(tmp_path, runs=runs, predictions=entries))
    for name, run in experiment.runs.items():
        result = mini.run(run.engine, requests, limits)
        files = RunFiles.of(str(tmp_path / f"exp007.{name}"))
        files.write(result, simulated_record(run.engine, requests, limits, result))
    return verdict_document(replace(experiment, aha="v1 *stops*."), [], tmp_path, tmp_path)


def test_refuted_predictions_come_first(document):
    assert [entry["id"] for entry in document["predictions"]] == ["alike", "dies", "none"]


def test_a_document_holds_verdicts_comparison_and_the_first_diff(document):
    assert document["verdicts"] == {"refuted": 1, "confirmed": 1, "not_run": 1}
    assert document["pin"]["state"] == "unpinned"
    found = document["comparisons"]["both"]
    assert (found["equal_steps"], found["first_difference"]) == (1, 1)
    assert "+step 1 preempt c" in found["diff"]
    json.dumps(document, allow_nan=False)


def test_progress_tells_refuted_confirmed_and_not_run_with_their_reasons(document):
    text = progress([document])
    assert "1 experiments, 3 predictions: 1 refuted, 1 confirmed, 1 not run." in text
    assert "## EXP-007: A title" in text
    assert "never pinned" in text
    assert "nothing of the kind happened" in text
    assert "**Aha.** v1 \\*stops\\*." in text
    assert text.index("**refuted**") < text.index("**confirmed**") < text.index("**not run**")
    assert "No experiment yet" in progress([])
