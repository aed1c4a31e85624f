"""The three tools on a tiny Qwen3 with random weights."""

import gzip
import json
from pathlib import Path

import pytest

from tests.tracing.conftest import LAYERS, QUESTION, checked
from vllm_lab.common.errors import LabError
from vllm_lab.tracing import documents, text
from vllm_lab.tracing.modules import Selection

FORWARDS = QUESTION.max_tokens


@pytest.fixture(scope="module")
def profile(engine, tmp_path_factory) -> tuple[dict, Path]:
    folder = tmp_path_factory.mktemp("profile")
    found = documents.kernels(engine, QUESTION, folder / "report.txt", folder / "trace.json.gz")
    return checked(found, "tracing_kernels", folder), folder


def value(document: dict, metric: str) -> float:
    return document["results"][metric]["value"]


def rows(document: dict) -> dict[tuple[str, str], dict]:
    return {(row["name"], row["class"]): row for row in document["kernels"]}


def test_simple_counts_calls_by_class_and_lists_the_first_layers_path(engine, tmp_path):
    found = checked(documents.simple(engine, QUESTION), "tracing_calls", tmp_path)
    counts = {row["class"]: (row["modules"], row["calls"]) for row in found["classes"]}
    assert counts["RMSNorm"] == (4 * LAYERS + 1, FORWARDS * (4 * LAYERS + 1))
    assert counts["RotaryEmbedding"] == (LAYERS, FORWARDS * LAYERS)
    assert found["forward_tokens"] == [len(QUESTION.prompt), *[1] * (FORWARDS - 1)]
    assert all(check["holds"] for check in found["checks"])
    assert {"same_answers", "calls_of_norm", "calls_of_sampler"} <= {
        check["kind"] for check in found["checks"]
    }
    shown = text.layout(found)
    assert "int64[7], bfloat16[7, 128] -> bfloat16[7, 128]" in shown
    assert shown.endswith("== Findings\nnone\n")


def test_detailed_lists_calls_with_times_and_stacks(engine, tmp_path):
    found = checked(documents.detailed(engine, QUESTION, limit=20), "tracing_calls", tmp_path)
    assert len(found["calls"]) == 20 < found["selected_calls"] == value(found, "total_calls")
    assert len(found["most_called"]) == 10
    assert {row["calls"] for row in found["most_called"]} == {FORWARDS * LAYERS}
    attention = next(row for row in found["calls"] if row["class"] == "Attention")
    assert found["stacks"][attention["stack"]][-1].endswith("Qwen3Attention.forward")
    shown = text.layout(found)
    assert f"Calls in order, 20 of {value(found, 'total_calls'):.0f}" in shown
    assert shown.count("LLMEngine.step") == 1  # what stacks have in common is shown once


def test_a_selection_narrows_the_lists_but_not_the_check(engine, tmp_path):
    found = documents.detailed(engine, QUESTION, Selection(("Attention",), frozenset({1})))
    found = checked(found, "tracing_calls", tmp_path)
    assert {row["class"] for row in found["calls"]} == {"Attention", "Qwen3Attention"}
    assert found["selected_calls"] == 2 * FORWARDS
    assert found["check"]["findings"] == []


def test_every_operator_of_the_core_is_classified_with_its_source(profile):
    found, _ = profile
    classes = {row["class"]: row for row in found["classes"]}
    core = {"attention", "cache_write", "norm", "rotary", "activation", "gemm", "sampling", "embedding"}
    assert core <= classes.keys()
    assert all(classes[name]["sources"] for name in core)
    assert sum(row["share"] for row in classes.values()) == pytest.approx(1)
    assert [check["holds"] for check in found["checks"]] == [True]


def test_kernels_are_counted_as_often_as_the_model_calls_them(engine, tmp_path):
    files = (tmp_path / "report.txt", tmp_path / "trace.json.gz")
    found = documents.kernels(engine, QUESTION, *files, limit=1000)
    counted = {key: row["calls"] for key, row in rows(found).items()}
    assert counted["_C::cpu_attention_with_kv_cache", "attention"] == FORWARDS * LAYERS
    assert counted["_C::cpu_attn_reshape_and_cache", "cache_write"] == FORWARDS * LAYERS
    assert counted["_C::rotary_embedding", "rotary"] == FORWARDS * LAYERS
    assert counted["aten::rsqrt", "norm"] == FORWARDS * (4 * LAYERS + 1)
    assert counted["aten::silu", "activation"] == FORWARDS * LAYERS
    assert len(found["kernels"]) == value(found, "total_kernels")
    assert sum(row["seconds"] for row in found["kernels"]) == pytest.approx(value(found, "total_seconds"))


def test_of_a_selection_the_kernels_are_those_that_its_modules_run(engine, tmp_path):
    files = (tmp_path / "report.txt", tmp_path / "trace.json.gz")
    selection = Selection(("Attention",), frozenset({1}))
    found = documents.kernels(engine, QUESTION, *files, selection, limit=1000)
    counted = {key: row["calls"] for key, row in rows(found).items()}
    assert counted["_C::cpu_attention_with_kv_cache", "attention"] == FORWARDS
    assert counted["_C::rotary_embedding", "rotary"] == FORWARDS  # of one module that all layers share
    assert counted["aten::rsqrt", "norm"] == FORWARDS * 2  # of queries and keys
    assert ("aten::silu", "activation") not in counted
    with pytest.raises(LabError, match="--modules Nothing"):
        documents.kernels(engine, QUESTION, *files, Selection(("Nothing",)))


def test_the_longest_are_listed_first_and_their_averages_fit(profile):
    found, _ = profile
    assert len(found["kernels"]) == documents.LISTED["kernels"] < value(found, "total_kernels")
    seconds = [row["seconds"] for row in found["kernels"]]
    assert seconds == sorted(seconds, reverse=True)
    assert all(
        row["average_seconds"] * row["calls"] == pytest.approx(row["seconds"]) for row in found["kernels"]
    )
    assert "csrc/cpu/cpu_attn.cpp" in text.layout(found)


def test_the_report_is_pytorchs_whole_table_and_the_trace_names_modules(profile):
    found, folder = profile
    report = (folder / "report.txt").read_text()
    assert all(row["name"] in report for row in found["kernels"])
    with gzip.open(folder / "trace.json.gz") as file:
        names = {event["name"] for event in json.load(file)["traceEvents"]}
    assert {"_C::cpu_attention_with_kv_cache", "RMSNorm model.norm"} <= names
