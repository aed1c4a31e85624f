"""Throughput, latency and memory of one engine: tests 1.1 to 1.3 of docs/plan.md."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from vllm_lab.common.files import read_json
from vllm_lab.common.metric import Metric, qualified
from vllm_lab.common.statistics import Distribution
from vllm_lab.data.shape import DTYPE_BYTES, parameters, shape_of
from vllm_lab.measure import worker
from vllm_lab.measure.document import Check, Test
from vllm_lab.measure.repeats import Reading
from vllm_lab.measure.worker import LATENCIES, EngineProcess, Replayed
from vllm_lab.plan.job import Job
from vllm_lab.replay.replay import TracedRequest

PERCENTS = (50, 90, 95, 99)
GB = 1e9
SPELT_OUT = ("LlamaForCausalLM", "Qwen3ForCausalLM")  # what `shape_parameters` knows


def _loaded(latency: str, percent: int) -> str:
    """total_latency_ms -> loaded_total_latency_p50_ms."""
    return f"loaded_{latency.removesuffix('_ms')}_p{percent}_ms"


THROUGHPUT_TEST = Test(
    id="throughput",
    name="Throughput of prefill, decode and both",
    question="How many tokens per second does one engine compute when it prefills, decodes, or does both?",
    method=f"A batch of requests, all at once, from an empty prefix cache. {worker.KINDS_IN_WORDS}",
    how_obtained=worker.CLOCK,
    metrics=worker.THROUGHPUT,
    headline="total_time",
)
LATENCY_TEST = Test(
    id="latency",
    name="Latency of a single request, and under load",
    question="How long does a request wait for its first token, between tokens and for its last token?",
    method="Requests one after another, each alone and from an empty prefix cache; then the same kind "
    "arriving as a Poisson process. The first and the last quarter of these are left out, while the engine "
    "fills and drains: the middle half is the steady state.",
    how_obtained=worker.CLOCK,
    metrics={
        **{name: qualified(name, metric, "mean of single requests") for name, metric in LATENCIES.items()},
        **{
            _loaded(name, percent): qualified(name, metric, f"percentile {percent} under load")
            for name, metric in LATENCIES.items()
            for percent in PERCENTS
        },
    },
    headline="total_latency_ms",
)
MEMORY_TEST = Test(
    id="memory",
    name="Memory of weights, KV cache and activations",
    question="How much memory do the weights, the KV cache and the activations take?",
    method="Sizes of tensors, and the peak while the throughput test's batch runs.",
    how_obtained="CUDA: sizes of parameters and KV cache tensors, torch.cuda.max_memory_allocated. CPU: "
    "parameters in the checkpoint's headers, sizes of the KV cache tensors, VmHWM of /proc/self/status, "
    "reset before each run.",
    metrics={
        "model_weight_memory_gb": Metric(
            "GB", "parameters x bytes of the dtype they run in, 1e9 bytes", "Weights"
        ),
        "kv_cache_memory_gb": Metric("GB", "the KV cache's tensors", "KV cache"),
        "activation_memory_gb": Metric(
            "GB",
            "peak during the run - what was in use before the first batch; on the CPU of the resident set, "
            "where memory kept from the engine's start hides part of it",
            "Activations",
        ),
        "total_peak_memory_gb": Metric(
            "GB",
            "CUDA: peak of the allocator; CPU: peak resident set of the engine's process, code and libraries "
            "included",
            "Peak",
        ),
    },
    headline="total_peak_memory_gb",
)
TESTS = (THROUGHPUT_TEST, LATENCY_TEST, MEMORY_TEST)


def documents(
    job: Job, batch: Sequence[TracedRequest], arriving: Sequence[TracedRequest]
) -> list[dict[str, Any]]:
    """Measure and return the documents of TESTS.

    `arriving`: the requests under load. The first `single_requests` of the batch are replayed alone, too.
    """
    singles = batch[: job.args.single_requests]
    engine = EngineProcess(job.settings(batch, arriving))
    with worker.running(engine):
        config = engine.environment["config"]
        dtype_bytes = DTYPE_BYTES[config["model_config"]["dtype"].removeprefix("torch.")]
        files = list(job.args.model_dir.glob("*.safetensors"))
        weights = sum(map(parameters, files)) * dtype_bytes if files else None
        held = engine.warm_up(batch).memory.before

        def batch_reading(_: int) -> Reading:
            replayed = engine.replay(batch)
            return Reading(replayed.throughput() | _memory_gb(replayed, weights, held))

        batches = job.runs(batch_reading, THROUGHPUT_TEST)
        latencies = job.runs(lambda _: _latencies(engine, singles, arriving), LATENCY_TEST)
    model = read_json(job.args.model_dir / "config.json")
    checks = {MEMORY_TEST: _memory_checks(model, config["cache_config"], dtype_bytes, batches[0].values)}
    environments = {"engine": engine.environment}
    return [
        job.document(
            test, environments, [run.only(test.metrics) for run in runs], checks=checks.get(test, ())
        )
        for test, runs in zip(TESTS, (batches, latencies, batches), strict=True)
    ]


def _latencies(
    engine: EngineProcess, singles: Sequence[TracedRequest], arriving: Sequence[TracedRequest]
) -> Reading:
    each = [engine.replay([row]).latencies_ms() for row in singles]
    alone = {name: [value for found in each for value in found[name]] for name in LATENCIES}
    quarter = len(arriving) // 4
    loaded = engine.replay(arriving).latencies_ms(slice(quarter, len(arriving) - quarter))
    values = {name: fmean(sample) for name, sample in alone.items() if sample}
    for name, sample in loaded.items():
        found = Distribution.of(sample)
        values |= {_loaded(name, percent): found.percentile(percent) for percent in PERCENTS if sample}
    return Reading(values, alone | {f"loaded_{name}": sample for name, sample in loaded.items()})


def _memory_gb(replayed: Replayed, weights: int | None, held: int) -> dict[str, float]:
    """Values of MEMORY_TEST.

    `weights`: bytes in the checkpoint, None without one; `held`: bytes in use before the first batch.
    """
    used = replayed.memory
    found = {
        "model_weight_memory_gb": used.weights or weights,
        "kv_cache_memory_gb": used.kv_cache,
        "activation_memory_gb": used.peak - held,
        "total_peak_memory_gb": used.peak,
    }
    return {name: size / GB for name, size in found.items() if size is not None}


def _memory_checks(
    model: Mapping[str, Any], cache: Mapping[str, Any], dtype_bytes: int, values: Mapping[str, float]
) -> list[Check]:
    """Compare the measured sizes with those that follow from the model's shape (its config.json)."""
    tokens = cache["num_gpu_blocks"] * cache["block_size"]
    statement = f"KV cache (GB) = {tokens} tokens x bytes of a token by the model's shape"
    expected = shape_of(model).kv_bytes_per_token * tokens / GB
    checks = [Check("kv_cache_by_shape", statement, expected, values["kv_cache_memory_gb"])]
    parameters = shape_parameters(model)
    if parameters and "model_weight_memory_gb" in values:
        statement = f"weights (GB) = {parameters} parameters by the model's shape x {dtype_bytes} bytes"
        found = values["model_weight_memory_gb"]
        checks.append(Check("weights_by_shape", statement, parameters * dtype_bytes / GB, found))
    return checks


def shape_parameters(config: Mapping[str, Any]) -> int | None:
    """Parameters of a decoder with this config.json; None for an architecture that is not in SPELT_OUT.

    Embedding (and output layer, unless tied); in each layer the projections of queries, keys, values and
    outputs, the gate, up and down projections, and two norms (Qwen3: of queries and keys, too); a last norm.
    """
    architecture = config["architectures"][0]
    if architecture not in SPELT_OUT:
        return None
    shape = shape_of(config)
    hidden, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    attention = 2 * hidden * shape.head_dim * (heads + shape.kv_heads)
    norms = 2 * hidden + (2 * shape.head_dim if architecture == "Qwen3ForCausalLM" else 0)
    embeddings = shape.vocab_size * hidden * (1 if config.get("tie_word_embeddings") else 2)
    return embeddings + shape.layers * (attention + 3 * hidden * inner + norms) + hidden
