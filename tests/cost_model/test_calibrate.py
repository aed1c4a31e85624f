"""The rule's script: its files fit their schemas, whether vLLM is there or not."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from mini_vllm.clock import read_cost_model
from mini_vllm.errors import MiniError
from tests.cost_model.traces import trace_of
from tests.engines.conftest import SHAPE
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.provenance.schemas import check

ROOT = Path(__file__).parents[2]
FLAGS = (
    "--device cpu --requests 5 --heldout-requests 3 --rate 20 --max-prompt-tokens 200 --max-output-tokens 4 "
    "--num-blocks 60 --block-size 32 --max-num-seqs 4 --max-num-batched-tokens 128 "
    "--repeats 2 --retries 0 --seed 0"
)
SCHEMAS = {
    "calibration.json": "calibration",
    "cost_model.json": "cost_model",
    "steps.csv": "calibration_steps",
    "heldout.csv": "calibration_heldout",
}


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"scripts/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def calibrate(folder: Path) -> dict:
    """Run the script and the figures' on what it wrote; the account, all files checked."""
    trace_of(20, 2).write(folder / "small_trace.parquet")
    outputs = ["--output", "calibration.json", "--cost-model", "cost_model.json"]
    outputs += ["--steps", "steps.csv", "--heldout", "heldout.csv"]
    files = [word if word.startswith("--") else str(folder / word) for word in outputs]
    given = ["--trace", str(folder / "small_trace.parquet"), "--model-dir", str(folder)]
    script("cost_model_measure").main([*given, *FLAGS.split(), *files])
    for name, schema in SCHEMAS.items():
        check(folder / name, ROOT / f"workflow/schemas/{schema}.schema.yaml")
    tables = ["--calibration", "calibration.json", "--steps", "steps.csv", "--heldout", "heldout.csv"]
    given = [word if word.startswith("--") else str(folder / word) for word in tables]
    script("cost_model_figures").main([*given, "--outdir", str(folder)])
    for name in ("calibration_steps", "calibration_requests"):
        assert (folder / f"{name}.png").stat().st_size
        assert (folder / f"{name}.svg").stat().st_size
    return json.loads((folder / "calibration.json").read_text())


def test_without_vllm_it_is_not_run_and_says_why(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    account = calibrate(tmp_path)
    assert account["status"] == "not_run"
    assert "not installed" in account["reason"]
    with pytest.raises(MiniError, match="base is missing"):
        read_cost_model(str(tmp_path / "cost_model.json"))


def test_with_vllm_it_is_measured_and_the_cost_model_can_be_read(tmp_path, monkeypatch):
    pytest.importorskip("vllm")
    (tmp_path / "config.json").write_text(json.dumps(SHAPE))
    given = EngineSettings.engine_args
    monkeypatch.setattr(EngineSettings, "engine_args", lambda self: given(self) | {"load_format": "dummy"})
    account = calibrate(tmp_path)
    assert account["status"] == "measured"
    assert len(account["runs"]) == 4
    assert account["environment"]["config"]["cache_config"]["num_gpu_blocks"] == 60
    model = account["fit"]["models"]["context"]["coefficients"]
    assert read_cost_model(str(tmp_path / "cost_model.json")).base == model["base"]
