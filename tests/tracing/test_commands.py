"""The command, the rules' scripts, another model: each starts an engine, and a process has one at a time."""

import gzip
import json
import sys
from pathlib import Path

import pytest
import tracing_calls
import tracing_kernels

from tests.tracing.conftest import LAYERS, PROMPT, QUESTION, QWEN3, SCHEMAS, checked, checkpoint, engine_of
from vllm_lab.common.errors import LabError
from vllm_lab.provenance.schemas import check
from vllm_lab.tracing import modules
from vllm_lab.tracing.__main__ import main
from vllm_lab.tracing.calls import traced
from vllm_lab.tracing.documents import generate_traced


def test_an_unknown_architecture_is_compared_with_the_modules_found_in_it(opt_dir):
    config = {"architectures": ["OPTForCausalLM"]}
    with engine_of(opt_dir) as engine:
        _, tracer = generate_traced(engine, QUESTION, lambda: traced(engine))
        found = modules.check(config, engine.modules, tracer.calls)
    assert found["basis"].startswith("modules found in the model")
    counted = {row["kind"]: set(row["counted"]) for row in found["kinds"]}
    assert counted["norm"] == {2 * LAYERS + 1}
    assert counted["attention"] == counted["activation"] == {LAYERS}
    assert counted["linear"] == {4 * LAYERS}
    assert "rotary" not in counted
    assert found["findings"] == []


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
    ("words", "said"),
    [(["--limit", "0"], "above 0"), (["--layers", "x"], "--layers"), (["--max-tokens", "-1"], "above 0")],
)
def test_a_wrong_flag_is_named(words, said, capsys):
    with pytest.raises(SystemExit):
        main(["simple", "--model", "nowhere", *words])
    assert said in capsys.readouterr().err


def test_a_compiled_graph_has_no_modules_to_select(qwen3_dir):
    with pytest.raises(LabError, match="compiled graph has no modules"):
        run("kernels --no-enforce-eager --layers 0", qwen3_dir)


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
