"""Throughput, latency and memory of one engine: the plan's tests 1.1 to 1.3."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from vllm_lab.common.files import read_json
from vllm_lab.common.metric import Metric
from vllm_lab.common.statistics import Distribution
from vllm_lab.measure.document import Check, Test, measured
from vllm_lab.measure.phases import phases
from vllm_lab.measure.repeats import Reading, Repeats
from vllm_lab.measure.worker import EngineProcess, Replayed
from vllm_lab.plan import memory
from vllm_lab.replay.requests import TracedRequest

CLOCK = "time.perf_counter around each LLMEngine.step, on CUDA after torch.cuda.synchronize"
PERCENTS = (50, 90, 95, 99)
GB = 1e9
TIMES = {
    "first_token_latency": "arrival to first token (TTFT)",
    "time_per_output_token": "(last token - first token) / (output tokens - 1) (TPOT)",
    "total_latency": "arrival to last token (E2E)",
}

THROUGHPUT = Test(
    id="throughput",
    name="Throughput of prefill, decode and both",
    question="How many tokens per second does one engine compute when it prefills, decodes, or does both?",
    method="A batch of requests, all at once, from an empty prefix cache. A step counts as prefill if every "
    "request in it computed its prompt, as decode if none did, else as mixed.",
    how_obtained=CLOCK,
    metrics={
        "prefill_throughput": Metric("tokens/s", "prompt tokens computed in prefill steps / their seconds"),
        "decode_throughput": Metric("tokens/s", "output tokens of decode steps / their seconds"),
        "mixed_throughput": Metric("tokens/s", "prompt and output tokens of mixed steps / their seconds"),
        "end_to_end_throughput": Metric("tokens/s", "output tokens / total_time"),
        "total_token_throughput": Metric("tokens/s", "prompt and output tokens / total_time"),
        "total_time": Metric("s", "start of the first step to the end of the last"),
        "prefill_time": Metric("s", "seconds of prefill steps"),
        "decode_time": Metric("s", "seconds of decode steps"),
        "mixed_time": Metric("s", "seconds of mixed steps"),
        "prefill_steps": Metric("steps", "that only computed prompts"),
        "decode_steps": Metric("steps", "that computed no prompt"),
        "mixed_steps": Metric("steps", "that did both"),
    },
    headline="total_time",
)
LATENCY = Test(
    id="latency",
    name="Latency of a single request, and under load",
    question="How long does a request wait for its first token, between tokens and for its last token?",
    method="Requests one after another, each alone and from an empty prefix cache; then the same kind "
    "arriving as a Poisson process. Of these the first and last quarter, while the engine fills and drains, "
    "are left out: what stays is the steady state's window.",
    how_obtained=CLOCK,
    metrics={
        **{f"{name}_ms": Metric("ms", f"{words}, mean of single requests") for name, words in TIMES.items()},
        **{
            f"loaded_{name}_p{percent}_ms": Metric("ms", f"{words}, percentile {percent} under load")
            for name, words in TIMES.items()
            for percent in PERCENTS
        },
    },
    headline="total_latency_ms",
)
MEMORY = Test(
    id="memory",
    name="Memory of weights, KV cache and activations",
    question="How much memory do the weights, the KV cache and the activations take?",
    method="Sizes of tensors, and the peak while the throughput test's batch runs.",
    how_obtained="CUDA: sizes of parameters and KV cache tensors, torch.cuda.max_memory_allocated. CPU: "
    "parameters in the checkpoint's headers, sizes of the KV cache tensors, VmHWM of /proc/self/status, "
    "reset before each run.",
    metrics={
        "model_weight_memory_gb": Metric("GB", "parameters x bytes of the dtype they run in, 1e9 bytes"),
        "kv_cache_memory_gb": Metric("GB", "the KV cache's tensors"),
        "activation_memory_gb": Metric(
            "GB", "peak during the run less what was held before the first batch; on the CPU of the resident "
            "set, so that memory kept from the engine's start hides part of it"
        ),
        "total_peak_memory_gb": Metric(
            "GB", "CUDA: peak of the allocator; CPU: peak resident set of the engine's process, code and "
            "libraries included"
        ),
    },
    headline="total_peak_memory_gb",
)  # fmt: skip
TESTS = (THROUGHPUT, LATENCY, MEMORY)


def accounts(
    engine: EngineProcess,
    model_dir: Path,
    device: str,
    parameters: dict[str, Any],
    batch: Sequence[TracedRequest],
    arriving: Sequence[TracedRequest],
    repeats: Repeats,
    threads: int,
) -> list[dict[str, Any]]:
    """The documents of TESTS. `arriving`: under load; the first single_requests of the batch go alone."""
    config = engine.environment["config"]
    weights = memory.checkpoint_bytes(model_dir, config["model_config"]["dtype"])
    singles = batch[: parameters["single_requests"]]
    held = engine.warm_up(batch).memory.before

    def once(_: int) -> Reading:
        return _batch(engine.replay(batch), batch, weights, held)

    batches = repeats.run(once, THROUGHPUT.headline, threads)
    latencies = repeats.run(lambda _: _latencies(engine, singles, arriving), LATENCY.headline, threads)
    checks = _memory_checks(model_dir, config, batches[0].values)
    return [
        measured(
            test.on(parameters["prompts"]),
            device,
            parameters,
            {"engine": engine.environment},
            [run.only(test.metrics) for run in runs],
            repeats,
            checks if test is MEMORY else (),
        )
        for test, runs in zip(TESTS, (batches, latencies, batches), strict=True)
    ]


def _batch(replayed: Replayed, requests: Sequence[TracedRequest], weights: int | None, held: int) -> Reading:
    """Values of THROUGHPUT and MEMORY; bytes of `weights` in the checkpoint, if there is one, and `held`
    before the first batch."""
    used = replayed.memory
    found = {
        "model_weight_memory_gb": used.weights or weights,
        "kv_cache_memory_gb": used.kv_cache,
        "activation_memory_gb": used.peak - held,
        "total_peak_memory_gb": used.peak,
    }
    sizes = {name: size / GB for name, size in found.items() if size is not None}
    return Reading(throughput(replayed, requests) | sizes)


def throughput(replayed: Replayed, requests: Sequence[TracedRequest]) -> dict[str, float]:
    """Values of THROUGHPUT's metrics; those of a kind of step that there was none of are left out."""
    prompts = {row.request_id: len(row.prompt) for row in requests}
    steps = replayed.measured.steps
    total = steps[-1].time + steps[-1].seconds - steps[0].time
    outputs = sum(len(row.output) for row in requests)
    values = {
        "total_time": total,
        "end_to_end_throughput": outputs / total,
        "total_token_throughput": (outputs + sum(prompts.values())) / total,
    }
    for name, phase in phases(steps, prompts).items():
        if phase.steps:
            tokens = {"prefill": phase.prompt_tokens, "decode": phase.output_tokens}
            tokens["mixed"] = phase.prompt_tokens + phase.output_tokens
            values |= {
                f"{name}_throughput": tokens[name] / phase.seconds,
                f"{name}_time": phase.seconds,
                f"{name}_steps": phase.steps,
            }
    return values


def times(replayed: Replayed, counted: slice = slice(None)) -> dict[str, list[float]]:
    """TIMES of the requests in `counted` (in order of arrival), ms."""
    rows = replayed.measured.requests[counted]
    fields = dict(zip(TIMES, ("ttft", "tpot", "e2e"), strict=True))
    return {name: [1000 * getattr(row, field) for row in rows] for name, field in fields.items()}


def _latencies(
    engine: EngineProcess, singles: Sequence[TracedRequest], arriving: Sequence[TracedRequest]
) -> Reading:
    alone = [times(engine.replay([row])) for row in singles]
    single = {name: [value for found in alone for value in found[name]] for name in TIMES}
    quarter = len(arriving) // 4
    loaded = times(engine.replay(arriving), slice(quarter, len(arriving) - quarter))
    values = {f"{name}_ms": fmean(single[name]) for name in TIMES}
    for name in TIMES:
        sample = Distribution.of(loaded[name])
        values |= {f"loaded_{name}_p{percent}_ms": sample.percentile(percent) for percent in PERCENTS}
    raw = {f"{name}_ms": single[name] for name in TIMES}
    return Reading(values, raw | {f"loaded_{name}_ms": loaded[name] for name in TIMES})


def _memory_checks(model_dir: Path, config: dict[str, Any], values: dict[str, float]) -> list[Check]:
    cache = config["cache_config"]
    tokens = cache["num_gpu_blocks"] * cache["block_size"]
    expected = memory.kv_bytes(model_dir, tokens) / GB
    statement = f"KV cache (GB) = {tokens} tokens x bytes a token, by the model's shape"
    checks = [Check("kv_cache_by_shape", statement, expected, values["kv_cache_memory_gb"])]
    parameters = memory.shape_parameters(read_json(model_dir / "config.json"))
    if parameters and "model_weight_memory_gb" in values:
        each = memory.DTYPE_BYTES[config["model_config"]["dtype"].removeprefix("torch.")]
        statement = f"weights (GB) = {parameters} parameters by the model's shape x {each} bytes"
        checks.append(
            Check("weights_by_shape", statement, parameters * each / GB, values["model_weight_memory_gb"])
        )
    return checks
