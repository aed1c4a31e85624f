"""A small project with results of every part, as its jobs would have left them."""

from pathlib import Path
from typing import Any

import pytest
import render as script

from tests.report.project import Project
from vllm_lab.nsight.metrics import GPU_METRICS, LAYER_METRICS
from vllm_lab.nsight.metrics import METRICS as CAPTURE_METRICS
from vllm_lab.serving import measures as server_metrics
from vllm_lab.simulation.metrics import METRICS

HOSTILE = '<script>alert("x")</script></style>`|*_0'
PIXEL = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><path d="M0 0h9v9z"/></svg>'
POLICIES = ("lru", "fifo", "belady")


def example(root: Path, *, host: str = "testhost", started: str = "2026-01-02T03:04:05+00:00") -> list[str]:
    """Write every part's results below `root`; the paths to give to the report."""
    project = Project(root, host=host, started=started)
    raw = project.job("sharegpt", {"results/data/sharegpt.json": "[]"})
    conversations = project.job("conversations", {"results/data/rejects.json": rejects()}, inputs=raw)
    model = project.job("model", {"results/model/summary.json": model_summary()})
    tokens = project.job(
        "tokens", {"results/tokens/summary.json": tokens_summary()}, inputs=[*conversations, *model]
    )
    traces = project.job("trace_summary", {"results/traces/summary.json": traces_summary()}, inputs=tokens)
    exported = project.job("exports", {"results/exports/index.json": exports()}, inputs=tokens)
    stats = [
        path
        for trace in ("single_turn", "multi_turn", "mooncake_conversation")
        for path in project.job(
            "sharing",
            {f"results/sharing/{trace}_stats.json": trace_stats(trace)},
            inputs=tokens,
            wildcards={"trace": trace},
        )
    ]
    figures = project.job(
        "sharing_figures", {"results/sharing/figures/sharing_fraction_cdf.svg": PIXEL}, inputs=stats
    )
    sweep = project.job("sweep_table", {"results/sweeps/hit_rates.csv": hit_rates()}, inputs=tokens)
    mooncake = project.job(
        "mooncake_published", {"results/sweeps/mooncake_published.json": mooncake_published()}, inputs=sweep
    )
    compared = project.job("reference", {"results/sharing/reference.json": reference()}, inputs=tokens)
    calibrated = project.job(
        "calibrate", {"results/calibration/calibration.json": calibration()}, inputs=model, kind="measured"
    )
    served = project.job(
        "server_replay",
        {"results/serving/server_replay.json": server_replay()},
        inputs=[*model, *calibrated],
        kind="measured",
    )
    followed = tracing(project, model)
    benchmarked = benchmarks(project, model)
    seen = captures(project, model)
    scheduled = scheduling(project, tokens)
    tried = experiments(project, tokens)
    settings = project.job("configuration", {"results/project/configuration.json": {"device": HOSTILE}})
    brought = bundle(project)
    return [
        *conversations, *model, *tokens, *traces, *exported, *stats, *figures, *sweep, *mooncake, *compared,
        *scheduled, *tried, *calibrated, *served, *benchmarked, *seen, *followed,
        *settings, *brought,
    ]  # fmt: skip


def exports() -> dict[str, Any]:
    """Two formats of one trace; a reader with a hostile command."""
    readers = [{"tool": "vLLM", "command": HOSTILE, "checked": "read back"}]
    made = {
        "trace": "multi_turn", "bytes": 2048, "records": 7, "left_out": 1, "block_size": 16,
        "readers": readers,
    }  # fmt: skip
    return {
        "exports": [
            {**made, "format": "mooncake", "file": "results/exports/a", "unit": "requests"},
            {**made, "format": "messages", "file": "results/exports/b", "unit": "conversations"},
        ],
        "notes": {"mooncake": ["Milliseconds."], "messages": [HOSTILE]},
    }


def scheduling(project: Project, tokens: list[str]) -> list[str]:
    """Replays of two traces with scarce memory; vLLM was not run on the single-turn one."""
    replayed = [
        path
        for trace in ("single_turn", "multi_turn")
        for engine in ("v1_naive", "v2_lru", "v3_priority", "v4_prefix", "vllm_uncached", "vllm_cached")
        for path in project.job(
            "oracle" if engine.startswith("vllm") else "mini",
            {f"results/{'oracle' if engine.startswith('vllm') else 'mini'}/{engine}.{trace}.scarce.json":
             replay(engine, trace)},
            inputs=tokens, wildcards={"engine": engine, "trace": trace}, kind="simulated",
        )
    ]  # fmt: skip
    replayed += project.job(
        "mini_imported",
        {"results/mini/v4_prefix.mooncake_conversation.scarce.json": replay("v4_prefix", "multi_turn")},
        inputs=tokens, kind="simulated",
    )  # fmt: skip
    runs = [
        account(version, trace)
        for trace in ("single_turn", "multi_turn")
        for version in ("v1_naive", "v2_lru", "v3_priority", "v4_prefix")
    ]
    return replayed + project.job(
        "compare", {"results/oracle/comparison.json": {"runs": runs}}, inputs=replayed, kind="simulated"
    )


def write_report(root: Path, files: list[str]) -> Path:
    """Run the script in `root`; the folder that it wrote to."""
    folder = "results/report"
    outputs = ["--html", f"{folder}/index.html", "--markdown", f"{folder}/report.md"]
    outputs += ["--evaluation", f"{folder}/vllm_evaluation.md"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        script.main(["--inputs", *files, *outputs, "--summary", f"{folder}/summary.json"])
    return root / folder


def experiments(project: Project, tokens: list[str]) -> list[str]:
    """One experiment: a refuted, a confirmed and a not run prediction; one of its runs was not run."""
    runs = [
        path
        for engine in ("v2_lru", "vllm")
        for path in project.job(
            "experiment_run", {f"results/experiments/exp001.{engine}.json": experiment_run(engine)},
            inputs=tokens, wildcards={"run": f"exp001.{engine}"}, kind="simulated",
        )
    ]  # fmt: skip
    return runs + project.job(
        "experiment_verdict", {"results/experiments/exp001.verdict.json": verdicts()}, inputs=runs,
        wildcards={"experiment": "exp001"}, kind="simulated",
    )  # fmt: skip


def experiment_run(engine: str) -> dict[str, Any]:
    limits = replay("v2_lru", "multi_turn")["limits"]
    if engine == "vllm":
        return {"engine": engine, "status": "not_run", "reason": REASON, "limits": limits}
    repeats = [{"makespan": 2.5, "ttft_mean": 0.1}, {"makespan": 2.6, "ttft_mean": 0.1}]
    metrics = dict.fromkeys(METRICS, 2)
    told = {"metrics": metrics, "repeats": repeats, "same_decisions": True}
    return {"engine": engine, "status": "simulated", "limits": limits, **told}


def verdicts() -> dict[str, Any]:
    told = {
        "statement": HOSTILE, "why": HOSTILE, "metric": "v2_lru.ttft_mean", "unit": "s", "relation": "within",
        "value": 0.5, "times": 1, "tolerance": 0.1, "status": "simulated",
    }  # fmt: skip
    seen = {"observed": 0.0123, "bound": 0.5}
    pair = {"mini": "v2_lru", "vllm": "vllm"}
    counts = {"equal_steps": 3, "differing_steps": 4, "first_difference": 3, "times_compared": True}
    part = {"engine": "v2_lru", "settings": {"num_blocks": 20}, "status": "simulated"}
    return {
        "experiment": "exp001",
        "title": HOSTILE,
        "question": HOSTILE,
        "trace": "multi_turn",
        "pin": {"state": "pinned", "sha256": "0" * 64, "day": "2026-01-02", "times_pinned": 1},
        "verdicts": {"refuted": 1, "confirmed": 1, "not_run": 1},
        "predictions": [
            {**told, "id": "one", "verdict": "refuted", **seen},
            {**told, "id": "two", "verdict": "confirmed", **seen},
            {**told, "id": "three", "verdict": "not_run", "reason": REASON, "status": "not_run"},
        ],
        "comparisons": {
            "parted": {**pair, **counts, "status": "simulated", "diff": ["--- a", "+++ b", "@@", "-x", "+y"]},
            "absent": {**pair, "status": "not_run", "reason": REASON},
        },
        "parts": {"mini": {"v2_lru": part}, "vllm": {"vllm": {**part, "engine": "vllm"}}, "extension": {}},
        "aha": HOSTILE,
    }


def benchmarks(project: Project, model: list[str]) -> list[str]:
    """A measured test with its figure, one that was not run, and the code's size."""
    ran = project.job(
        "bench_prefix_cache",
        {"results/bench/cpu/prefix_cache.json": benchmark()},
        inputs=model,
        kind="measured",
    )
    absent = {**benchmark(), "test_id": "cuda_graphs", "status": "not_run", "reason": REASON}
    return [
        *ran,
        *project.job("bench_pair", {"results/bench/cpu/cuda_graphs.json": absent}, kind="measured"),
        *project.job(
            "bench_figures", {"results/bench/figures/prefix_cache.svg": PIXEL}, inputs=ran, kind="measured"
        ),
        *project.job("bench_code_quality", {"results/bench/code_quality.json": code_quality()}),
    ]


def bundle(project: Project) -> list[str]:
    """A benchmark that was measured elsewhere, as a merge leaves it."""
    cluster = {"slurm_job_id": "17"}
    there = Project(project.root / "elsewhere", host="gpu-node", started=project.started, cluster=cluster)
    made = there.job(
        "bench_prefix_cache",
        {"results/bench/cuda/prefix_cache.json": benchmark() | {"device": "cuda"}},
        kind="measured",
    )
    home = project.root / "results/bundles/h200"
    home.parent.mkdir(parents=True)
    (there.root / "results").rename(home)
    return [path.replace("results/", "results/bundles/h200/", 1) for path in made]


def tracing(project: Project, model: list[str]) -> list[str]:
    """Calls with a finding, their times, and kernels; names and texts are hostile."""
    return [
        path
        for tools in (("simple", "detailed"), ("kernels",))
        for path in project.job(
            f"tracing_{tools[-1]}",
            {f"results/tracing/cpu/{tool}.json": traced(tool) for tool in tools},
            inputs=model,
            kind="measured",
        )
    ]


def traced(tool: str) -> dict[str, Any]:
    """The document of one of the tracing tools."""
    shapes = {side: [{"name": "", "dtype": "bfloat16", "shape": [7, 576]}] for side in ("inputs", "outputs")}
    kind = {"kind": "norm", "calls": 5, "counted": [5, 4], "holds": False, "why": HOSTILE}
    row = {"class": "RMSNorm", "modules": 5, "calls": 9, "seconds": 0.25, "self_seconds": 0.25}
    kernel = {"class": "norm", "calls": 9, "seconds": 0.25, "share": 1.0}
    common = {
        "tool": tool, "status": "measured", "reason": None,
        "parameters": {"prompt": HOSTILE}, "answer": HOSTILE, "forward_tokens": [7, 1],
        "environment": {"vllm": "0.0", "device_name": "Test CPU"},
        "overhead": {"plain_seconds": 0.2, "traced_seconds": 0.25, "added": 0.25, "same_answers": True},
        "check": {
            "basis": HOSTILE, "kinds": [kind], "findings": [HOSTILE],
            "silent": [{"module": "model", "class": "LlamaModel", "reason": None}],
        },
    }  # fmt: skip
    own: dict[str, dict[str, Any]] = {
        "simple": {
            "path": [{"module": "m.0", "class": HOSTILE, "depth": 0, "prefill": shapes, "decode": None}],
        },
        "detailed": {"classes": [row]},
        "kernels": {
            "counted": "CPU operators",
            "patterns_of": "0.0",
            "total_kernels": 1,
            "classes": [{**kernel, "what": HOSTILE, "sources": [HOSTILE]}],
            "kernels": [{**kernel, "name": HOSTILE, "source": None, "average_seconds": 0.01}],
        },
    }
    return common | own[tool]


def benchmark() -> dict[str, Any]:
    units = {"actual_speedup_ratio": "x", "cache_hit_rate": "fraction", "compute_saved_pct": "%",
             "on_first_token_latency_ms": "ms", "kv_cache_memory_gb": "GB"}  # fmt: skip
    spread = {"interval": [1.5, 2.5], "cv_pct": 1.0, "spread_pct": 1.5}
    check = {"expected": 100, "found": 100, "tolerance_pct": 0.0, "holds": True}
    run = {"values": dict.fromkeys(units, 2.0), "raw": {}, "load_before": 1.0, "load_after": 2.0}
    return {
        "test_id": "prefix_cache",
        "test_name": "Prefix cache off and on",
        "device": "cpu",
        "method": HOSTILE,
        "how_obtained": HOSTILE,
        "hardware": {"cpu": HOSTILE, "cores": 2, "gpus": []},
        "parameters": {
            "requests": 100,
            "sharing_requests": 0.7,
            "shared_prompt": 0.8,
            "prompts": "generated",
            "model": HOSTILE,
            "weights": "real",
        },
        "status": "measured",
        "reason": None,
        "environments": {"off": {"vllm": "0.32.0"}, "on": {"vllm": "0.32.0"}},
        "runs": [
            {**run, "run": 0, "used": True, "other_cores": 0.1, "short_cores": 0.1},
            {**run, "run": 1, "used": False, "other_cores": 1.1, "short_cores": 1.1},
        ],
        "results": {
            name: {"value": 0.5, "unit": unit, "definition": HOSTILE, **spread}
            for name, unit in units.items()
        },
        "verification": {
            "metric": "actual_speedup_ratio",
            "runs": 1,
            "spread_pct": 1.5,
            "tolerance_pct": 5.0,
            "within_tolerance": True,
        },
        "parts_not_run": [{"part": HOSTILE, "reason": HOSTILE}],
        "checks": [{"statement": HOSTILE, **check}] * 3,
    }


def captures(project: Project, model: list[str]) -> list[str]:
    """A capture of vLLM without a GPU, and one that was not made."""
    files = []
    for run, document in (("vllm", capture_metrics()), ("graphs", capture_not_run())):
        files += project.job(
            "nsight_metrics", {f"results/nsight/exp004.{run}.json": document}, inputs=model,
            wildcards={"run": f"exp004.{run}"}, kind="measured",
        )  # fmt: skip
    return files + project.job(
        "nsight_figures", {"results/nsight/figures/step_timeline.svg": PIXEL}, inputs=files, kind="measured"
    )


def capture_metrics() -> dict[str, Any]:
    """GPU metrics and layers are absent; names come from the captured program."""
    absent = dict.fromkeys([*GPU_METRICS, *LAYER_METRICS], REASON)
    spans = dict.fromkeys(("total", "mean", "p50", "p95", "max"), 0.0125)
    row = {"name": HOSTILE, "count": 48, **spans}
    return {
        "engine": "vllm",
        "device": "cpu",
        "nsys": "2022.4.2.1",
        "report_bytes": 185584,
        "status": "measured",
        "reason": None,
        "metrics": {name: None if name in absent else 0.25 for name in CAPTURE_METRICS},
        "absent": absent,
        **{table: [row] for table in ("ranges", "os_calls", "kernels", "kernel_classes", "cuda_calls")},
        "copies": [{"kind": HOSTILE, "count": 2, "bytes": 60000, "seconds": 2e-5, "gb_per_s": 3.0}],
    }


def capture_not_run() -> dict[str, Any]:
    empty = dict.fromkeys(CAPTURE_METRICS)
    return {**capture_metrics(), "status": "not_run", "reason": REASON, "metrics": empty}


def code_quality() -> dict[str, Any]:
    counts = {
        "total_loc": 230,
        "source_loc": 160,
        "function_count": 21,
        "class_count": 4,
        "avg_complexity": 2.5,
    }
    return {
        "test_id": "code_quality",
        "test_name": "Size and complexity of the code",
        "how_obtained": "counted from the source text",
        "status": "derived",
        "results": {f"mini_vllm.v1_naive.{name}": {"value": value} for name, value in counts.items()},
        "checks": [],
    }


def calibration() -> dict[str, Any]:
    sizes = {"median": 0.02, "p95": 0.1}
    residuals = {"steps": 294, "relative": sizes, "absolute_s": sizes}
    errors = {metric: {**sizes, "bias": -0.01} for metric in ("ttft", "tpot", "e2e", "throughput")}
    columns = ("base", "prefill_tokens", "decode_tokens", "context_tokens")
    run = {"run": 0, "steps": 294, "seconds": 9.3, "load_before": 1.0, "load_after": 2.0, "other_cores": 0.1}
    return {
        "status": "measured",
        "reason": None,
        "environment": {"vllm": "0.32.0", "device_name": "Test CPU", "threads": 2},
        "runs": [{**run, "set": "calibration", "used": True}, {**run, "set": "heldout", "used": False}],
        "fit": {
            "chosen": "context",
            "models": {
                "context": {
                    "coefficients": dict.fromkeys(columns, 3e-4),
                    "residuals": {"r2": 0.99, "all": residuals, "decode": residuals},
                }
            },
        },
        "step_noise": sizes,
        "heldout": {
            "requests": 20,
            "prediction": errors,
            "prediction_of_one_run": errors,
            "repetition": errors,
        },
    }


def server_replay() -> dict[str, Any]:
    """Latency turns up at the second rate, where a request failed with a hostile text."""

    def row(rate: float, ttft: float) -> dict[str, Any]:
        hits = {"measured": [640, 608], "told_to_clients": [640, 608]}
        foretold = {"scheduler": 640, "sharing_of_prompts": 320, "sharing_with_outputs": 640}
        metrics = {**dict.fromkeys(server_metrics.METRICS, 0.5), "ttft_p50": ttft}
        return {"rate": rate, "metrics": metrics, "hit_tokens": {**hits, **foretold}}

    run = {"repeat": 0, "problem": HOSTILE, "load_before": 0.5, "load_after": 2.0}
    limits = {"limit_ttft": 0.5, "limit_tpot": 0.06, "limit_e2e": 3.0}
    return {
        "status": "measured",
        "reason": None,
        "hardware": {"cpu": "Test CPU"},
        "environment": {"vllm": "0.32.0"},
        "server_exit_status": None,
        "parameters": {"requests": 32, "repeats": 2, **limits},
        "runs": [{**run, "rate": 2.0, "errors": {}}, {**run, "rate": 4.5, "errors": {HOSTILE: 1}}],
        "rates": [row(2.0, 0.1), row(4.5, 0.3)],
        "verification": {"spread_pct": 7.5, "tolerance_pct": 5.0},
        "turn": {"metric": "ttft_p50", "factor": 2.0, "last_rate_before": 2.0, "first_rate_after": 4.5},
    }


def rejects() -> dict[str, Any]:
    rule = {"action": "kept", "statement": "A message follows another one of the same role."}
    return {
        "input_bytes": 125509632,
        "records_read": 12,
        "records_dropped": 1,
        "conversations_kept": 11,
        "messages_kept": 40,
        "roles": {"human": 21, "gpt": 18, HOSTILE: 1},
        "first_roles": {"user": 10, "assistant": 1},
        "stopped_after_max_records": False,
        "rules": {
            "consecutive_same_role": {
                **rule,
                "count": 2,
                "example": {"id": HOSTILE, "record": 3, "detail": HOSTILE},
            },
            "id_missing": {**rule, "count": 0, "example": None},
        },
    }


def model_summary() -> dict[str, Any]:
    return {
        "source": "package",
        "name": "Tiny",
        "revision_or_version": "0.1.2",
        "sha256": "b" * 64,
        "weights": "real",
        "dtype": "bfloat16",
        "parameters": 134515008,
        "layers": 30,
        "kv_heads": 3,
        "head_dim": 64,
        "context_length": 8192,
        "vocab_size": 49152,
        "kv_bytes_per_token": 23040,
        "licence": "Apache-2.0",
    }


def tokens_summary() -> dict[str, Any]:
    return {
        "conversations": 11,
        "streams": 12,
        "explicit_streams": 1,
        "tokens": 30000,
        "template": "tokenizer",
        "special_text_conversations": 0,
        "template_refused": {"count": 0, "example": None},
        "unanswered_turns": 1,
        "default_system_prompt": {
            "policy": "drop",
            "text": "<|im_start|>system\n<|im_end|>",
            "token_ids": [1],
        },
        "end_of_turn_token_id": 2,
    }


def traces_summary() -> dict[str, Any]:
    points = {"mean": 767.4, "p50": 614.0, "p90": 1739.0, "p95": 1931.8, "p99": 2231.3, "max": 5925}
    trace = {
        "requests": 30,
        "conversations": 11,
        "prompt_tokens": 20000,
        "output_tokens": 9000,
        "lengths": {"prompt_tokens": points, "output_tokens": points},
        "duration_s": 495.7,
        "measured_rate": 2.017,
        "over_context": {"limit": 8192, "policy": "drop", "requests": 3, "outputs": 0, "example": None},
        "selection": {"chosen": 11, "eligible": 11, "order": "first", "begins_with": "user"},
        "unanswered": 2,
    }
    return {"traces": {"multi_turn": trace, "single_turn": trace}}


def trace_stats(trace: str) -> dict[str, Any]:
    imported = trace == "mooncake_conversation"
    shared = {"mean": 0.3858, "median": 0.4052, "p10": 0.0, "p25": 0.0, "p75": 0.7, "p90": 0.85, "p95": 0.9,
              "p99": 0.97, "max": 1.0}  # fmt: skip
    metrics = {
        "sharing_fraction": shared,
        "token_sharing_fraction": None if imported else shared,
        "requests_with_hit_fraction": 0.68,
        "block_accesses": 149701,
        "distinct_blocks": 64524,
        "block_reuse_rate": 0.569,
        "block_hits": {"mean": 2.32, "median": 2.0, "p90": 5.0, "p99": 8.0, "max": 28.0},
        "reuse_gap_s": {"count": 0, "mean": None, "median": None, "p90": None, "p99": None, "max": None},
        "saved_prefill_tokens": 1362832,
        "saved_prefill_fraction": 0.5634382320328695,
        "saved_prefill_fraction_with_generated": None if imported else 0.8467,
        "kv_bytes_per_token": None if imported else 23040,
        "saved_kv_bytes": None if imported else 31399649280,
        "distinct_kv_bytes": None if imported else 23786127360,
        "working_set": {
            window: {
                "mean_blocks": 5335.67,
                "peak_blocks": 13378,
                "peak_kv_bytes": None if imported else 4931665920,
            }
            for window in ("60", "inf")
        },
    }
    return {
        "trace": trace,
        "unit": "block" if imported else "token",
        "block_size": 512 if imported else 16,
        "requests": 3188,
        "conversations": 1000,
        "prompt_tokens": 2418778,
        "output_tokens": 908471,
        "metrics": metrics,
        "by_block_size": {"512": metrics} if imported else {"8": metrics, "16": metrics, "32": metrics},
    }


def reference() -> dict[str, Any]:
    """Two definitions of each figure; the second one fits."""
    units = {"sharing_mean": "fraction", "block_reuse_rate": "fraction", "block_hits_mean": "accesses"}
    rows = [
        {"mode": mode, "metric": metric, "unit": unit, "level": level, "opening": "bare",
         "short_prompts": "included" if metric == "sharing_mean" else "", "definition": f"{level} level",
         "published": 0.5, "ours": ours, "difference": ours - 0.5, "band_min": 0.4, "band_p10": 0.41,
         "band_median": 0.5, "band_p90": 0.59, "band_max": 0.6, "within_band": level == "token",
         "fits": level == "token"}
        for mode in ("multi_turn", "single_turn")
        for metric, unit in units.items()
        for level, ours in (("block", 0.7), ("token", 0.51))
    ]  # fmt: skip
    return {
        "conversations": {
            "asked": 1000,
            "eligible": 11146,
            "used": 1000,
            "statement": "the first 1000 of 11146",
        },
        "block_size": 16,
        "rate": 2.0,
        "samples": 20,
        "closest": {"definition": "token level", "mean_relative_difference": 0.02},
        "notes": ["Prompts longer than a model's context are kept."],
        "rows": rows,
    }


def mooncake_published() -> dict[str, Any]:
    """One reading and two capacities, the second of which was not swept."""
    rows = [
        {"policy": "lru", "capacity_blocks": "inf", "published": 0.51, "ours": 0.37, "difference": -0.14},
        {"policy": "lru", "capacity_blocks": "1000", "published": 0.3, "ours": None, "difference": None},
    ]
    return {
        "cache_ratio": {
            "source": "FAST'25, table 2",
            "published": 0.4,
            "readings": [{"reading": "block hits / block accesses", "ours": 0.37, "difference": -0.03}],
            "closest": "block hits / block accesses",
            "note": "The paper does not say what is divided by what.",
        },
        "table_1": {"source": "arXiv", "note": "Another trace.", "rows": rows},
    }


REASON = "vLLM is not installed (No module named 'vllm')"
STEP = '{{"step":7,"time":0.5,"scheduled":{},"preempted":["{}"],"finished":[],"evicted":[],"free_blocks":{}}}'
VLLM_STEP = STEP.format('{"a":1,"b":1}', "c", 8)
V2_STEP = STEP.format('{"b":1,"c":1}', "a", 3)


def replay(engine: str, trace: str) -> dict[str, Any]:
    """v1 crashes; vLLM was not run on the single-turn trace."""
    limits = {
        "num_blocks": 512, "block_size": 16, "max_num_seqs": 256, "max_num_batched_tokens": 8192,
        "policy": "fcfs", "prefix_caching": engine.endswith(("_cached", "_prefix")), "chunked_prefill": True,
        "clock": {"kind": "Clock", "base": 0.01, "per_token": 0.00001, "per_request": 0.0001},
    }  # fmt: skip
    if engine.startswith("vllm") and trace == "single_turn":
        return {"engine": "vllm_scheduler", "status": "not_run", "reason": REASON, "limits": limits}
    crashed = engine == "v1_naive"
    metrics = {
        "finished": 13 if crashed else 1000, "refused": 0, "preemptions": 0 if crashed else 430,
        "hit_rate": 0.0, "ttft_mean": 0.0195, "makespan": 379.84, "steps": 7 if crashed else 33926,
        "crash_step": 7 if crashed else None,
    }  # fmt: skip
    crash = {"step": 7, "time": 0.5, "reason": HOSTILE} if crashed else None
    return {"engine": engine, "status": "simulated", "limits": limits, "metrics": metrics, "crash": crash}


def account(version: str, trace: str) -> dict[str, Any]:
    """v3 and v4 are equal to vLLM; v1 and v2 part from it in step 7."""
    against = "vllm_cached" if version == "v4_prefix" else "vllm_uncached"
    who = {"version": version, "against": against, "trace": trace, "memory": "scarce"}
    if trace == "single_turn":
        return {**who, "status": "not_run", "reason": REASON}
    equal = version in ("v3_priority", "v4_prefix")
    sides = {"vllm": VLLM_STEP, "mini": V2_STEP if version == "v2_lru" else None, "before": None}
    crash = {"step": 7, "time": 0.5, "reason": HOSTILE, "finished": 13, "vllm": VLLM_STEP}
    apart = {"vllm": 2.0, "mini": 3.0, "relative_difference": 0.5}
    names = ("ttft_mean", "tpot_mean", "e2e_mean", "preemptions", "makespan")
    return {
        **who,
        "status": "simulated",
        "vllm_version": "0.32.0",
        "equal": equal,
        "equal_steps": 33926 if equal else 7,
        "differing_steps": 0 if equal else 33919,
        "first_difference": None if equal else {"step": 7, "fields": ["scheduled"], **sides},
        "differing_requests": 0 if equal else 987,
        "metrics": dict.fromkeys(names, apart),
        "crash": crash if version == "v1_naive" else None,
    }


def hit_rates() -> str:
    """Two capacities and unbounded for each policy; lru reaches half of the unbounded rate at the first."""
    header = (
        "trace,block_size,policy,capacity_tokens,capacity_blocks,capacity_gib,requests,block_accesses,"
        "block_hits,hit_rate,token_hit_rate"
    )
    rates = {
        "lru": (0.30, 0.45, 0.5634),
        "fifo": (0.20, 0.40, 0.5634),
        "belady": (0.40, 0.5634, 0.5634),
    }
    lines = [
        f"multi_turn,{size},{policy},{tokens},{blocks},{gib},3188,149701,70000,{rate},{rate}"
        for size in (16, 32)
        for policy in POLICIES
        for (tokens, blocks, gib), rate in zip(
            (("65536", "4096", "1.40625"), ("262144", "16384", "5.625"), ("inf", "inf", "inf")),
            rates[policy],
            strict=True,
        )
    ]
    # What the engine of the imported trace's replay can use: 511 blocks of 16 tokens.
    lines.append("mooncake_conversation,16,lru,8176,511,,12031,288500,60000,0.21,0.2157")
    lines.append("mooncake_conversation,16,lru,inf,inf,,12031,288500,105000,0.36,0.3736")
    return "\n".join((header, *lines, ""))
