"""The three tools and the rules' scripts, on a tiny Qwen3 with random weights, and where there is no vLLM."""

import gzip
import json
import sys
from pathlib import Path

import pytest
import tracing_calls
import tracing_kernels

from tests.tracing.conftest import LAYERS, PROMPT, QUESTION, QWEN3, checkpoint
from vllm_lab.errors import LabError
from vllm_lab.provenance.schemas import check
from vllm_lab.tracing import documents, text
from vllm_lab.tracing.__main__ import main
from vllm_lab.tracing.selection import Selection

SCHEMAS = Path(__file__).parents[2] / "workflow/schemas"
FORWARDS = QUESTION.max_tokens


def checked(document: dict, schema: str, folder: Path) -> dict:
    """The document, once it has gone through JSON and its schema."""
    file = folder / "document.json"
    file.write_text(json.dumps(document))
    check(file, SCHEMAS / f"{schema}.schema.yaml")
    return json.loads(file.read_text())


@pytest.fixture(scope="module")
def profile(engine, tmp_path_factory) -> tuple[dict, Path]:
    folder = tmp_path_factory.mktemp("profile")
    found = documents.kernels(engine, QUESTION, folder / "report.txt", folder / "trace.json.gz")
    return checked(found, "tracing_kernels", folder), folder


def rows(document: dict) -> dict[tuple[str, str], dict]:
    return {(row["name"], row["class"]): row for row in document["kernels"]}


def test_simple_counts_calls_by_class_and_tells_the_first_layers_path(engine, tmp_path):
    found = checked(documents.simple(engine, QUESTION), "tracing_calls", tmp_path)
    counts = {row["class"]: (row["modules"], row["calls"]) for row in found["classes"]}
    assert counts["RMSNorm"] == (4 * LAYERS + 1, FORWARDS * (4 * LAYERS + 1))
    assert counts["RotaryEmbedding"] == (LAYERS, FORWARDS * LAYERS)
    assert found["forward_tokens"] == [len(QUESTION.prompt), *[1] * (FORWARDS - 1)]
    shown = text.layout(found)
    assert "int64[7], bfloat16[7, 128] -> bfloat16[7, 128]" in shown
    assert shown.endswith("== Findings\nnone\n")


def test_detailed_lists_calls_with_times_and_stacks(engine, tmp_path):
    found = checked(documents.detailed(engine, QUESTION, limit=20), "tracing_calls", tmp_path)
    assert len(found["calls"]) == 20 < found["selected_calls"] == found["total_calls"]
    assert len(found["most_called"]) == 10
    assert {row["calls"] for row in found["most_called"]} == {FORWARDS * LAYERS}
    attention = next(row for row in found["calls"] if row["class"] == "Attention")
    assert found["stacks"][attention["stack"]][-1].endswith("Qwen3Attention.forward")
    shown = text.layout(found)
    assert f"Calls in order, 20 of {found['total_calls']}" in shown
    assert shown.count("LLMEngine.step") == 2  # of the model, and after it of the logits


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
    assert found["overhead"]["same_answers"]


def test_kernels_are_counted_as_often_as_the_model_calls_them(engine, tmp_path):
    files = (tmp_path / "report.txt", tmp_path / "trace.json.gz")
    found = documents.kernels(engine, QUESTION, *files, limit=1000)
    counted = {key: row["calls"] for key, row in rows(found).items()}
    assert counted["_C::cpu_attention_with_kv_cache", "attention"] == FORWARDS * LAYERS
    assert counted["_C::cpu_attn_reshape_and_cache", "cache_write"] == FORWARDS * LAYERS
    assert counted["_C::rotary_embedding", "rotary"] == FORWARDS * LAYERS
    assert counted["aten::rsqrt", "norm"] == FORWARDS * (4 * LAYERS + 1)
    assert counted["aten::silu", "activation"] == FORWARDS * LAYERS
    assert len(found["kernels"]) == found["total_kernels"]
    assert sum(row["seconds"] for row in found["kernels"]) == pytest.approx(found["total_seconds"])


def test_the_longest_are_listed_first_and_their_averages_fit(profile):
    found, _ = profile
    assert len(found["kernels"]) == documents.LISTED["kernels"] < found["total_kernels"]
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


def run(arguments: str, model: Path) -> None:
    given = ["--model", str(model), "--prompt", PROMPT, "--max-tokens", "3", "--repeats", "1"]
    main([*arguments.split(), *given, "--load-format", "dummy"])


def test_the_command_writes_json_to_a_file_and_nothing_to_the_terminal(qwen3_dir, tmp_path, capsys):
    pytest.importorskip("vllm")
    file = tmp_path / "simple.json"
    run(f"simple --format json --modules Attention --limit 1 --output {file}", qwen3_dir)
    assert capsys.readouterr().out == ""
    found = checked(json.loads(file.read_text()), "tracing_calls", tmp_path)
    assert found["parameters"]["prompt"] == PROMPT
    assert len(found["path"]) == 1
    assert {row["class"] for row in found["classes"]} == {"Attention", "Qwen3Attention"}


def test_the_command_shows_text_and_leaves_the_profilers_files(qwen3_dir, tmp_path, capsys, monkeypatch):
    pytest.importorskip("vllm")
    monkeypatch.chdir(tmp_path)
    run("kernels --limit 5", qwen3_dir)
    assert "CPU operators, 5 of" in capsys.readouterr().out
    assert {file.name for file in tmp_path.iterdir()} == {"profiler_report.txt", "chrome_trace.json.gz"}


@pytest.mark.parametrize(
    ("words", "told"),
    [(["--limit", "0"], "above 0"), (["--layers", "x"], "--layers"), (["--max-tokens", "-1"], "above 0")],
)
def test_a_wrong_flag_is_named(words, told, capsys):
    with pytest.raises(SystemExit):
        main(["simple", "--model", "nowhere", *words])
    assert told in capsys.readouterr().err


def test_an_empty_prompt_is_refused(qwen3_dir):
    with pytest.raises(LabError, match="--prompt"):
        main(["simple", "--model", str(qwen3_dir), "--prompt", ""])


def test_without_vllm_the_scripts_say_why_they_were_not_run(tmp_path, monkeypatch, tokenizer_dir):
    monkeypatch.setitem(sys.modules, "vllm", None)
    model = ["--model", str(checkpoint(tmp_path / "model", QWEN3, tokenizer_dir))]
    written = {flag: tmp_path / f"{flag}.json" for flag in ("simple", "detailed", "output")}
    flags = {flag: [f"--{flag}", str(file)] for flag, file in written.items()}
    tracing_calls.main([*model, *flags["simple"], *flags["detailed"]])
    files = ["--report", str(tmp_path / "report.txt"), "--chrome-trace", str(tmp_path / "trace.json.gz")]
    tracing_kernels.main([*model, *flags["output"], *files])
    for flag, file in written.items():
        check(file, SCHEMAS / f"tracing_{'kernels' if flag == 'output' else 'calls'}.schema.yaml")
        assert json.loads(file.read_text())["status"] == "not_run"
        assert "not installed" in file.with_suffix(".txt").read_text()
    assert "not installed" in (tmp_path / "report.txt").read_text()
    assert json.loads(gzip.decompress((tmp_path / "trace.json.gz").read_bytes())) == {"traceEvents": []}
