"""The rules' scripts: their documents fit the schema, whether vLLM is installed or not."""

import importlib
import json
import os
import sys
from pathlib import Path

import pytest

from tests.engines.conftest import SHAPE
from vllm_lab.provenance.schemas import check
from vllm_lab.traces.trace import Trace

ROOT = Path(__file__).parents[2]
COMMON = (
    "--device cpu --model-name tiny --enforce-eager --block-size 32 --max-num-seqs 4 "
    "--max-num-batched-tokens 128 --seed 0 --repeats 2 --most-repeats 2 --tolerance-pct 5 "
    "--prompt-tokens 70 --output-tokens 3"
)
BATCH = "--sequences 4 --rate 50"
PREFIX = "--requests 10 --sharing-requests 0.7 --shared-prompt 0.8 --starts 2"
SCALING = "--sequences 4 --sequences-per-device 2 --devices 1 2 64"
SCALED = ["single-device", "strong-scaling", "weak-scaling"]
BASICS = f"{BATCH} --single-requests 2 --loaded-requests 4"


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory) -> Path:
    """A checkpoint of random weights: the engines' processes cannot make them up."""
    pytest.importorskip("vllm")
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("model")
    LlamaForCausalLM(LlamaConfig(**SHAPE)).to(torch.bfloat16).save_pretrained(folder)
    return folder


def run(name: str, folder: Path, model: Path, words: str, *outputs: str) -> list[dict]:
    """Run a script and the figures' on what it wrote; the documents, checked."""
    files = {flag: folder / f"{flag}.json" for flag in outputs}
    given = [word for flag, file in files.items() for word in (f"--{flag}", str(file))]
    importlib.import_module(name).main(["--model-dir", str(model), *COMMON.split(), *words.split(), *given])
    for file in files.values():
        check(file, ROOT / "workflow/schemas/plan.schema.yaml")
    importlib.import_module("plan_figures").main(
        ["--results", *map(str, files.values()), "--outdir", str(folder)]
    )
    assert all(file.with_suffix(".png").stat().st_size for file in files.values())
    return [json.loads(file.read_text()) for file in files.values()]


@pytest.mark.parametrize(
    ("name", "words", "outputs"),
    [
        ("plan_basics", BASICS, ["throughput", "latency", "memory"]),
        ("plan_prefix_cache", PREFIX, ["output"]),
        ("plan_pair", f"{BATCH} --test torch_compile", ["output"]),
        ("plan_scaling", SCALING, SCALED),
    ],
)
def test_without_vllm_it_is_not_run_and_says_why(tmp_path, monkeypatch, name, words, outputs):
    monkeypatch.setitem(sys.modules, "vllm", None)
    (tmp_path / "config.json").write_text(json.dumps(SHAPE))
    for found in run(name, tmp_path, tmp_path, words, *outputs):
        assert found["status"] == "not_run"
        assert "not installed" in found["reason"]


def test_cuda_graphs_are_not_run_on_a_cpu(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(SHAPE))
    (found,) = run("plan_pair", tmp_path, tmp_path, f"{BATCH} --test cuda_graphs", "output")
    assert found["status"] == "not_run"
    assert "only on cuda" in found["reason"]


def test_basics_are_measured_and_memory_is_what_the_shape_says(tmp_path, model_dir):
    outputs = ("throughput", "latency", "memory")
    throughput, latency, memory = run("plan_basics", tmp_path, model_dir, BASICS, *outputs)
    steps = throughput["results"]
    assert all(len(found["runs"]) == 2 for found in (throughput, latency, memory))
    assert steps["total_time"]["value"] >= sum(
        steps[f"{kind}_time"]["value"] for kind in ("prefill", "decode", "mixed") if f"{kind}_time" in steps
    )
    assert throughput["environments"]["engine"]["config"]["cache_config"]["num_gpu_blocks"] == 4 * 3 + 1
    assert len(latency["runs"][0]["raw"]["first_token_latency_ms"]) == 2
    assert len(latency["runs"][0]["raw"]["loaded_first_token_latency_ms"]) == 2  # the middle half of 4
    assert len(memory["checks"]) == 2
    assert all(found["holds"] for found in memory["checks"])


def test_the_prefix_cache_s_hits_are_those_of_the_sharing_analysis(tmp_path, model_dir):
    (found,) = run("plan_prefix_cache", tmp_path, model_dir, PREFIX, "output")
    assert len(found["runs"]) == 4  # two of each start
    by_analysis = [check for check in found["checks"] if check["kind"].startswith("hits_by_")]
    assert all(one["holds"] for one in by_analysis)
    assert by_analysis[0]["found"] == 6 * 32  # 56 of 70 tokens shared: one block, by six after the first
    assert found["results"]["cache_hit_rate"]["value"] == pytest.approx(6 * 32 / 700)
    assert found["results"]["compute_saved_pct"]["value"] == pytest.approx(100 * 6 * 32 / 700)


def test_on_two_cores_two_engines_share_the_work_and_what_the_machine_lacks_is_listed(tmp_path, model_dir):
    single, strong, weak = run("plan_scaling", tmp_path, model_dir, SCALING, *SCALED)
    assert single["status"] == "measured"
    if len(os.sched_getaffinity(0)) < 2:
        assert "this job has 1 core" in strong["reason"]
        pytest.skip("one core: there is nothing to scale to")
    assert [found["cores"] for found in strong["environments"].values()][:2] == [1, 1]
    assert strong["parts_not_run"][-1]["part"] == "64 devices"
    for document, factor in ((strong, 1), (weak, 2)):
        for values in (one["values"] for one in document["runs"]):
            tokens = {count: values[f"time_{count}"] * values[f"throughput_{count}"] for count in (1, 2)}
            assert tokens[2] == pytest.approx(factor * tokens[1])
            assert values["efficiency_2_pct"] == pytest.approx(
                50 * factor * values["time_1"] / values["time_2"]
            )


def test_prompts_of_a_trace_are_found_in_the_cache_as_vllm_s_scheduler_predicts(tmp_path, model_dir):
    conversations = [[1 + number] * 40 for number in range(5)]
    prompts = [row * times for times in (1, 2) for row in conversations]  # second turns repeat the first
    outputs = [[7, 8, 9]] * len(prompts)
    trace = Trace.from_requests(prompts, outputs, [float(row) for row in range(len(prompts))])
    trace.write(tmp_path / "trace.parquet")
    words = "--requests 10 --sharing-requests 1 --shared-prompt 1 --starts 1 --prompt-tokens 80"
    given = f"{words} --prompts sharegpt --trace {tmp_path / 'trace.parquet'}"
    (found,) = run("plan_prefix_cache", tmp_path, model_dir, given, "output")
    assert found["test_id"] == "prefix_cache_sharegpt"
    assert all(one["holds"] for one in found["checks"])
    assert found["results"]["hit_tokens"]["value"] >= 5 * 32


def test_a_separated_scheduler_mixes_no_step(tmp_path, model_dir):
    from vllm_lab.engines.settings import EngineSettings
    from vllm_lab.measure.worker import EngineProcess, running
    from vllm_lab.measure.workload import ample_limits, uniform

    requests = uniform(6, 70, 4, 256, 0)
    kinds = {}
    for scheduler in ("mixed", "separated"):
        settings = EngineSettings(model_dir, ample_limits(requests, 32, 4, 100), scheduler=scheduler)
        engine = EngineProcess(settings)
        with running(engine):
            replayed = engine.replay(requests)
        kinds[scheduler] = replayed.phases()
        assert sum(phase.prompt_tokens for phase in kinds[scheduler].values()) == 6 * 70
        assert sum(phase.output_tokens for phase in kinds[scheduler].values()) == 6 * 4
    assert kinds["mixed"]["mixed"].steps
    assert not kinds["separated"]["mixed"].steps
