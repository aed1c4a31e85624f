"""The rules' scripts: their files fit their schemas, whether vLLM is installed or not."""

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
from vllm_lab.provenance.upstream import code_of

ROOT = Path(__file__).parents[2]
FLAGS = (
    "--device cpu --requests 5 --heldout-requests 3 --rate 20 --max-prompt-tokens 200 --max-output-tokens 4 "
    "--num-blocks 60 --block-size 32 --max-num-seqs 4 --max-num-batched-tokens 128 "
    "--repeats 2 --retries 0 --seed 0"
)
SCHEMAS = {
    "measurements.json": "cost_model_measure",
    "fit.json": "cost_model_fit",
    "cost_model.json": "cost_model",
    "steps.csv": "cost_model_steps",
    "heldout.csv": "cost_model_heldout",
}


def run(name: str, folder: Path, words: str) -> None:
    """Run a script. Every word with a dot is a file in `folder`."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"scripts/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main([str(folder / word) if "." in word else word for word in words.split()])


def measure_and_fit(folder: Path) -> dict:
    """Run all scripts, check all files; the document of the fit."""
    trace_of(20, 2).write(folder / "small_trace.parquet")
    files = f"--trace small_trace.parquet --model-dir {folder} --output measurements.json"
    run("cost_model_measure", folder, f"{FLAGS} {files}")
    tables = "--steps steps.csv --heldout heldout.csv"
    outputs = f"--output fit.json --cost-model cost_model.json {tables}"
    run("cost_model_fit", folder, f"--measurements measurements.json {outputs}")
    for name, schema in SCHEMAS.items():
        check(folder / name, ROOT / f"workflow/schemas/{schema}.schema.yaml")
    run("cost_model_figures", folder, f"--fit fit.json {tables} --outdir {folder}")
    for name in ("cost_model_steps", "cost_model_requests"):
        assert (folder / f"{name}.png").stat().st_size
        assert (folder / f"{name}.svg").stat().st_size
    return json.loads((folder / "fit.json").read_text())


def test_without_vllm_every_file_gives_the_reason(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    document = measure_and_fit(tmp_path)
    assert document["status"] == "not_run"
    assert "not installed" in document["reason"]
    with pytest.raises(MiniError, match="base is missing"):
        read_cost_model(str(tmp_path / "cost_model.json"))


def test_with_vllm_it_is_measured_and_the_cost_model_can_be_read(tmp_path, monkeypatch):
    pytest.importorskip("vllm")
    (tmp_path / "config.json").write_text(json.dumps(SHAPE))
    given = EngineSettings.engine_args
    monkeypatch.setattr(EngineSettings, "engine_args", lambda self: given(self) | {"load_format": "dummy"})
    document = measure_and_fit(tmp_path)
    assert document["status"] == "measured"
    assert len(document["runs"]) == 4
    assert document["environments"]["engine"]["config"]["cache_config"]["num_gpu_blocks"] == 60
    model = document["fit"]["models"]["context"]["coefficients"]
    assert read_cost_model(str(tmp_path / "cost_model.json")).base == model["base"]


def test_the_same_measurements_give_the_same_numbers(tmp_path):
    """measurements.json was recorded on a small model; expected.json is what was computed from it then."""
    recorded = Path(__file__).parent / "recorded"
    outputs = "--output fit.json --cost-model cost_model.json --steps steps.csv --heldout heldout.csv"
    run("cost_model_fit", tmp_path, f"--measurements {recorded}/measurements.json {outputs}")
    document = json.loads((tmp_path / "fit.json").read_text())
    expected = json.loads((recorded / "expected.json").read_text())
    assert numbers({key: document[key] for key in expected}) == pytest.approx(numbers(expected), rel=1e-6)


def numbers(value: object, path: str = "") -> dict[str, float]:
    """Every number in nested objects, by its path."""
    if isinstance(value, dict):
        return {name: n for key, part in value.items() for name, n in numbers(part, f"{path}.{key}").items()}
    return {path: value} if isinstance(value, int | float) else {}


def test_a_changed_version_of_mini_vllm_reruns_the_fit_but_no_measurement():
    measured = [file for file in code_of("scripts/cost_model_measure.py", ROOT) if "mini_vllm/v" in file]
    fitted = [file for file in code_of("scripts/cost_model_fit.py", ROOT) if "mini_vllm/v4_prefix" in file]
    assert measured == []
    assert fitted
