"""The rules' scripts, on real captures where nsys and vLLM are installed, and where they are not."""

import importlib
import json
import re
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.cost_model.traces import trace_of
from tests.engines.conftest import SHAPE
from tests.nsight.exports import metrics_of
from vllm_lab.common.errors import LabError
from vllm_lab.common.figure_names import FIGURES
from vllm_lab.provenance.schemas import check
from vllm_lab.provenance.upstream import code_of
from vllm_lab.replay.records import StoredRun
from vllm_lab.replay.replay import requests_of
from vllm_lab.traces.trace import Trace

ROOT = Path(__file__).parents[2]
RUN = (
    "--device cpu --limit 6 --max-prompt-tokens 200 --max-output-tokens 6 --arrivals at_once --block-size 32 "
    "--num-blocks 60 --max-num-seqs 4 --max-num-batched-tokens 128"
)
SCHEMAS = {
    "run.json": "replay",
    "run.steps.jsonl": "steps",
    "run.requests.csv": "replayed_requests",
    "capture.json": "nsight_capture",
    "metrics.json": "nsight_metrics",
}
SHARES = [f"decode_{part}_share" for part in ("schedule", "forward", "logits", "sample", "update", "other")]
needs_nsys = pytest.mark.skipif(shutil.which("nsys") is None, reason="nsys is not installed")


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory) -> Path:
    """A checkpoint of random weights: other processes cannot make them up."""
    pytest.importorskip("vllm")
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("model")
    LlamaForCausalLM(LlamaConfig(**SHAPE)).to(torch.bfloat16).save_pretrained(folder)
    return folder


def captured(folder: Path, engine: str, model: Path, *more: str) -> dict:
    """Capture, measure and draw one run; the metrics' document, all files checked."""
    trace_of(20, 2).write(folder / "small_trace.parquet")
    outputs = {
        "report": "run.nsys-rep", "sqlite": "run.sqlite", "capture": "capture.json", "record": "run.json",
        "steps": "run.steps.jsonl", "requests": "run.requests.csv", "events": "run.events.txt",
    }  # fmt: skip
    files = [word for flag, name in outputs.items() for word in (f"--{flag}", str(folder / name))]
    given = ["--trace", str(folder / "small_trace.parquet")]
    given += ["--model-dir", str(model)] if engine == "vllm" else ["--engine", engine]
    program = "nsight_vllm" if engine == "vllm" else "nsight_mini"
    script(program).main([*given, *RUN.split(), *more, *files])
    read = ["--capture", str(folder / "capture.json"), "--sqlite", str(folder / "run.sqlite")]
    script("nsight_metrics").main([*read, "--output", str(folder / "metrics.json")])
    for name, schema in SCHEMAS.items():
        check(folder / name, ROOT / f"workflow/schemas/{schema}.schema.yaml")
    script("nsight_figures").main(["--metrics", str(folder / "metrics.json"), "--outdir", str(folder)])
    for name in FIGURES["nsight"]:
        assert (folder / f"{name}.png").stat().st_size
        assert (folder / f"{name}.svg").stat().st_size
    return json.loads((folder / "metrics.json").read_text())


def script(name: str):
    return importlib.import_module(name)


def calls(found: dict) -> dict[tuple[str, str], int]:
    return {(row["domain"], row["name"]): row["count"] for row in found["ranges"]}


@needs_nsys
def test_the_minis_capture_holds_the_steps_of_one_replay_and_no_gpu(tmp_path):
    found = captured(tmp_path, "v4_prefix", tmp_path)
    steps = list(StoredRun(tmp_path / "run.json").steps)
    assert metrics_of(found)["captured_steps"] == len(steps) > 0  # though it was replayed twice
    assert calls(found)["mini_vllm", "scheduler.schedule"] == len(steps)
    assert metrics_of(found)["schedule_mean"] < metrics_of(found)["step_mean"]
    assert "CUDA was not traced" in found["absent"]["gpu_busy_share"]
    assert found["absent"]["decode_forward_share"] == "no model runs in this engine"
    capture = json.loads((tmp_path / "capture.json").read_text())
    assert 0 < capture["report_bytes"] < 2**20


@needs_nsys
def test_vllms_capture_holds_each_part_of_each_step(tmp_path, model_dir):
    found = captured(tmp_path, "vllm", model_dir)
    steps = list(StoredRun(tmp_path / "run.json").steps)
    counts = calls(found)
    for part in ("scheduler.schedule", "model.forward", "model.logits", "sampler.sample", "scheduler.update"):
        assert counts["vllm_lab", part] == len(steps)
    assert counts["", "gpu_model_runner: forward"] == len(steps)  # vLLM's own
    assert metrics_of(found)["captured_steps"] == len(steps)
    assert kinds(found) == expected_kinds(steps, tmp_path)
    shares = [value for name, value in metrics_of(found).items() if name in SHARES]
    assert sum(shares) == pytest.approx(1)
    assert all(0 <= share < 1 for share in shares)


def kinds(found: dict) -> Counter:
    return Counter(step["kind"] for step in found["steps"])


def expected_kinds(steps, folder: Path) -> Counter:
    """From the record of the run: a request's first tokens are its prompt's, less what the cache held."""
    trace = Trace.read(folder / "small_trace.parquet")
    prompts = {row.request_id: row.prompt_tokens for row in requests_of(trace)}
    done = {row.request_id: row.cached_tokens for row in StoredRun(folder / "run.json").requests}
    counted: Counter = Counter()
    for step in steps:
        prefilling = [done[name] < prompts[name] for name in step.scheduled]
        counted["prefill" if all(prefilling) else "mixed" if any(prefilling) else "decode"] += 1
        for name, tokens in step.scheduled.items():
            done[name] += tokens
    return counted


@needs_nsys
def test_layers_have_ranges_where_asked_for(tmp_path, model_dir):
    found = captured(tmp_path, "vllm", model_dir, "--layer-ranges")
    forwards = calls(found)["vllm_lab", "model.forward"]
    layers = SHAPE["num_hidden_layers"]
    assert calls(found)["vllm_lab", "layer.Attention"] == layers * forwards
    assert calls(found)["vllm_lab", "layer.RMSNorm"] == (2 * layers + 1) * forwards
    shares = [metrics_of(found)[f"decode_{part}_range_share"] for part in ("attention", "linear")]
    assert all(0 < share < 1 for share in shares)


@needs_nsys
def test_what_needs_cuda_is_not_run_on_a_cpu(tmp_path):
    found = captured(tmp_path, "vllm", tmp_path, "--needs", "cuda")
    assert found["reason"] == "needs cuda; the device here is cpu"
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "not_run"


@needs_nsys
def test_a_program_that_fails_under_nsys_is_an_error(tmp_path):
    with pytest.raises(LabError, match="ended with status"):
        captured(tmp_path, "v4_prefix", tmp_path, "--max-num-seqs", "0")


@pytest.mark.parametrize("engine", ["v4_prefix", "vllm"])
def test_without_nsys_it_is_not_run_and_says_how_to_install_it(tmp_path, monkeypatch, engine):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    found = captured(tmp_path, engine, tmp_path)
    assert found["status"] == "not_run"
    assert "apt-get install nsight-systems" in found["reason"]
    assert (tmp_path / "run.nsys-rep").stat().st_size == 0


def test_where_nsys_fails_after_the_run_the_run_is_kept(tmp_path, monkeypatch):
    """A replacement for nsys runs its program, records no range, and ends with its own status."""
    nsys = tmp_path / "bin/nsys"
    nsys.parent.mkdir()
    options = 'while [ "${1#--}" != "$1" ]; do shift; done'
    nsys.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo 2022.4.2 && exit\nshift\n{options}\n"$@"\nexit 3\n'
    )
    nsys.chmod(0o755)
    monkeypatch.setenv("PATH", str(nsys.parent))
    found = captured(tmp_path, "v4_prefix", tmp_path)
    assert found["reason"].startswith("nsys 2022.4.2 ended with status 3")
    assert json.loads((tmp_path / "run.json").read_text())["metrics"]["finished"] == 6


@pytest.mark.parametrize(
    ("script", "foreign"),
    [("nsight_vllm", r"mini_vllm/(v\d|tools/(engines|fast))"), ("nsight_mini", "vllm_lab/(engines|oracle)/")],
)
def test_a_capture_depends_only_on_the_engine_that_it_runs(script, foreign):
    code = code_of(f"scripts/{script}.py", ROOT)
    assert "src/vllm_lab/nsight/capture.py" in code
    assert [path for path in code if re.match(f"src/{foreign}", path)] == []
