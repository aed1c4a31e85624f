"""What the plan's tests make of replays: whole documents, with engines whose steps take a given time."""

import json
from contextlib import contextmanager
from pathlib import Path

import pytest

from vllm_lab.common.files import write_json
from vllm_lab.engines.replay import RealStep
from vllm_lab.measure import worker
from vllm_lab.measure.worker import Memory, Replayed
from vllm_lab.measure.workload import with_shared_prefix
from vllm_lab.plan import basics, pairs, prefix_cache, scaling
from vllm_lab.plan.job import Job, parser_of
from vllm_lab.provenance.schemas import check
from vllm_lab.replay.replay import Outcome

pytest.importorskip("psutil")

ROOT = Path(__file__).parents[2]
SHAPE = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 128, "vocab_size": 1000,
    "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2, "tie_word_embeddings": True,
    "max_position_embeddings": 512, "torch_dtype": "bfloat16",
}  # fmt: skip
CACHE = {"num_gpu_blocks": 13, "block_size": 32}
WORKLOAD = {"prompt_tokens": int, "output_tokens": int, "starts": int, "single_requests": int}


class FakeEngine:
    """All prompts in one step, then a step for each further token; each step takes `seconds`."""

    def __init__(self, seconds: float, hits: int = 0) -> None:
        self.seconds = seconds
        self.hits = hits  # tokens that every request but the first finds in the cache
        self.replays = 0
        self.environment = {"config": {"cache_config": CACHE, "model_config": {"dtype": "torch.bfloat16"}}}

    def start(self) -> None:
        pass

    def warm_up(self, requests):
        return self.replay(requests)

    def call(self, function, requests, limits):
        return self.replay(requests)

    def replay(self, requests) -> Replayed:
        self.replays += 1
        prompts = {row.request_id: row.prompt_tokens for row in requests}
        cached = {name: self.hits if number else 0 for number, name in enumerate(prompts)}
        tokens = max(row.output_tokens for row in requests)
        new = [
            {name: prompts[name] - cached[name] for name in prompts},
            *[dict.fromkeys(prompts, 1)] * (tokens - 1),
        ]
        steps = [
            RealStep(
                number, number * self.seconds, scheduled, [], [], [], 0, self.seconds,
                {name: prompt + number for name, prompt in prompts.items()},
            )
            for number, scheduled in enumerate(new)
        ]  # fmt: skip
        ends = (self.seconds, tokens * self.seconds, tokens)
        rows = [Outcome.finished(name, 0.0, cached[name], 0, *ends) for name in prompts]
        counters = {"queries": sum(prompts.values()), "hits": sum(cached.values())}
        kv_cache = (
            13 * 32 * 2 * 2 * 2 * 16 * 2
        )  # tokens x (key, value) x layers x KV heads x head_dim x bytes
        return Replayed(steps, rows, prompts, counters, Memory(None, kv_cache, 10**6, 3 * 10**6))


@pytest.fixture
def job(tmp_path) -> Job:
    """A job of four requests with 80 prompt and 3 output tokens, each test run twice."""
    (tmp_path / "config.json").write_text(json.dumps(SHAPE))
    words = (
        f"--model-dir {tmp_path} --model-name tiny --device cpu --block-size 32 --max-num-seqs 4 "
        "--max-num-batched-tokens 512 --repeats 2 --most-repeats 2 --tolerance-pct 5 --seed 0 "
        "--prompt-tokens 80 --output-tokens 3 --starts 2 --single-requests 2"
    )
    return Job(parser_of("", WORKLOAD).parse_args(words.split()), *WORKLOAD)


@contextmanager
def no_processes(*_):
    yield


def side_by_side(**engines):
    """In the place of sides.side_by_side: fake engines, the sides of which the test must ask for."""

    @contextmanager
    def start(settings, requests):
        assert list(settings) == list(engines)
        for engine in engines.values():
            engine.warm_up(requests)
        yield engines

    return start


def checked(folder: Path, document: dict) -> dict:
    write_json(folder / "document.json", document)
    check(folder / "document.json", ROOT / "workflow/schemas/plan.schema.yaml")
    return document


def test_a_pair_s_gains_compare_the_second_side_with_the_first(job, tmp_path, monkeypatch):
    engines = {"eager": FakeEngine(0.2), "compiled": FakeEngine(0.1)}
    monkeypatch.setattr(pairs, "side_by_side", side_by_side(**engines))
    found = checked(tmp_path, pairs.document(pairs.PAIRS["torch_compile"], job, job.requests(4, seed=0)))
    values = {name: result["value"] for name, result in found["results"].items()}
    assert values["speedup"] == pytest.approx(2)
    assert values["throughput_improvement"] == pytest.approx(100)
    assert values["decode_step_reduction"] == pytest.approx(50)
    assert values["eager_first_token_latency_ms"] == pytest.approx(200)
    assert values["compiled_time_per_output_token_ms"] == pytest.approx(100)
    assert found["results"]["compiled_total_time"]["title"] == "Total time, compiled"
    assert [engine.replays for engine in engines.values()] == [3, 3]  # warm-up and two runs


def test_a_prefix_cache_s_hits_are_compared_with_two_predictions_and_its_starts_with_each_other(
    job, tmp_path, monkeypatch
):
    requests = with_shared_prefix(job.requests(4, seed=0), 1.0, 0.8, vocabulary=1000, seed=0)  # 64 of 80
    for hits, agree in ((64, True), (32, False)):
        engines = {"off": FakeEngine(0.2), "on": FakeEngine(0.1, hits)}
        monkeypatch.setattr(prefix_cache, "side_by_side", side_by_side(**engines))
        found = checked(tmp_path, prefix_cache.document(job, requests))
        holds = {check["kind"]: check["holds"] for check in found["checks"]}
        assert holds == {"hits_by_analysis": agree, "hits_by_scheduler": True, "starts_agree": True}
        assert found["results"]["hit_tokens"]["value"] == 3 * hits
        assert found["results"]["compute_saved_pct"]["value"] == pytest.approx(100 * 3 * hits / 320)
        assert found["results"]["actual_speedup_ratio"]["value"] == pytest.approx(2)
        assert len(found["runs"]) == 4  # two of each start


def test_one_engine_s_throughput_latency_and_memory(job, tmp_path, monkeypatch):
    monkeypatch.setattr(basics, "EngineProcess", lambda _: FakeEngine(0.1))
    monkeypatch.setattr(worker, "running", no_processes)
    batch = job.requests(4, seed=0)
    throughput, latency, memory = (
        checked(tmp_path, found) for found in basics.documents(job, batch, arriving=batch)
    )
    assert throughput["results"]["prefill_throughput"]["value"] == pytest.approx(4 * 80 / 0.1)
    assert throughput["results"]["decode_throughput"]["value"] == pytest.approx(4 * 2 / 0.2)
    assert throughput["results"]["total_time"]["value"] == pytest.approx(0.3)
    assert latency["results"]["total_latency_ms"]["value"] == pytest.approx(300)
    assert latency["results"]["loaded_first_token_latency_p99_ms"]["value"] == pytest.approx(100)
    assert len(latency["runs"][0]["raw"]["loaded_total_latency_ms"]) == 2  # the middle half of four
    assert memory["results"]["activation_memory_gb"]["value"] == pytest.approx(0.002)
    assert [check["kind"] for check in memory["checks"] if check["holds"]] == ["kv_cache_by_shape"]


def test_requests_of_one_output_token_are_measured_without_decode_steps(job, tmp_path, monkeypatch):
    """prefix_cache.output_tokens may be 1, and an output of a trace may be as short."""
    job.args.output_tokens = 1
    requests = job.requests(4, seed=0)
    engines = {"off": FakeEngine(0.2), "on": FakeEngine(0.1)}
    monkeypatch.setattr(prefix_cache, "side_by_side", side_by_side(**engines))
    found = checked(tmp_path, prefix_cache.document(job, requests))
    assert found["results"]["off_first_token_latency_ms"]["value"] == pytest.approx(200)

    engines = {"eager": FakeEngine(0.2), "compiled": FakeEngine(0.1)}
    monkeypatch.setattr(pairs, "side_by_side", side_by_side(**engines))
    found = checked(tmp_path, pairs.document(pairs.PAIRS["torch_compile"], job, requests))
    assert found["results"]["speedup"]["value"] == pytest.approx(2)
    assert not [name for name in found["results"] if "decode" in name or "per_output_token" in name]

    monkeypatch.setattr(basics, "EngineProcess", lambda _: FakeEngine(0.1))
    monkeypatch.setattr(worker, "running", no_processes)
    _, latency, _ = (checked(tmp_path, found) for found in basics.documents(job, requests, requests))
    assert latency["results"]["total_latency_ms"]["value"] == pytest.approx(100)
    assert not [name for name in latency["results"] if "time_per_output_token" in name]


@pytest.fixture
def scaled(job, monkeypatch):
    """Run the scaling tests on these places; n requests on d devices take n / 2d + 0.5 s."""

    def together(engines, rows):
        return len(rows) / 2 / len(engines) + 0.5, [FakeEngine(0.1).replay(rows)]

    def run(places: list[str], counts: list[int]) -> list[dict]:
        job.args.devices, job.args.sequences_per_device = counts, 2
        monkeypatch.setattr(scaling, "devices", lambda _: places)
        return scaling.documents(job, job.requests(4, seed=0), job.requests(8, seed=1))

    monkeypatch.setattr(scaling, "EngineProcess", lambda *_: FakeEngine(0.1))
    monkeypatch.setattr(scaling, "running", no_processes)
    monkeypatch.setattr(scaling, "_together", together)
    return run


def test_scaling_has_ratios_within_a_run_and_lists_the_devices_that_are_missing(scaled, tmp_path):
    single, strong, weak = (checked(tmp_path, found) for found in scaled(["0", "1"], [1, 2, 4]))
    assert single["results"]["total_time"]["value"] == pytest.approx(0.3)
    assert not single["parts_not_run"]
    assert strong["results"]["speedup_2"]["value"] == pytest.approx(2.5 / 1.5)
    assert strong["results"]["efficiency_2_pct"]["value"] == pytest.approx(100 * 2.5 / 3)
    assert weak["results"]["efficiency_2_pct"]["value"] == pytest.approx(100)
    assert [part["part"] for part in weak["parts_not_run"]] == ["4 devices"]


def test_one_device_alone_has_nothing_to_scale_to(scaled, tmp_path):
    single, *others = (checked(tmp_path, found) for found in scaled(["0"], [1, 2]))
    assert single["status"] == "measured"
    for found in others:
        assert found["reason"] == "nothing to compare: this job has 1 core(s)"
