"""Documents of what ran vLLM, and of the code's size."""

from typing import Any

from tests.report.documents.words import HOSTILE, REASON
from vllm_lab.load import metrics as server_metrics
from vllm_lab.nsight.metrics import GPU_METRICS, LAYER_METRICS
from vllm_lab.nsight.metrics import METRICS as CAPTURE_METRICS


def calibration() -> dict[str, Any]:
    sizes = {"median": 0.02, "p95": 0.1}
    residuals = {"steps": 294, "relative": sizes, "absolute_s": sizes}
    errors = {metric: {**sizes, "bias": -0.01} for metric in ("ttft", "tpot", "e2e", "throughput")}
    columns = ("base", "prefill_tokens", "decode_tokens", "context_tokens")
    run = {"run": 0, "steps": 294, "seconds": 9.3, "load_before": 1.0, "load_after": 2.0, "other_cores": 0.1}
    return {
        "status": "measured",
        "reason": None,
        "environments": {"engine": {"vllm": "0.32.0", "device_name": "Test CPU", "threads": 2}},
        "runs": [{**run, "set": "fitted", "used": True}, {**run, "set": "heldout", "used": False}],
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
        hits = {"measured": [640, 608], "reported_to_clients": [640, 608]}
        foretold = {"scheduler": 640, "sharing_of_prompts": 320, "sharing_with_outputs": 640}
        metrics = {**dict.fromkeys(server_metrics.METRICS, 0.5), "ttft_p50": ttft}
        return {"rate": rate, "metrics": metrics, "hit_tokens": {**hits, **foretold}}

    run = {"repeat": 0, "problem": HOSTILE, "load_before": 0.5, "load_after": 2.0}
    limits = {"limit_ttft": 0.5, "limit_tpot": 0.06, "limit_e2e": 3.0}
    return {
        "status": "measured",
        "reason": None,
        "hardware": {"cpu": "Test CPU"},
        "environments": {"server": {"vllm": "0.32.0"}},
        "server_exit_status": None,
        "parameters": {"requests": 32, "repeats": 2, **limits},
        "runs": [{**run, "rate": 2.0, "errors": {}}, {**run, "rate": 4.5, "errors": {HOSTILE: 1}}],
        "rates": [row(2.0, 0.1), row(4.5, 0.3)],
        "verification": {"spread_pct": 7.5, "tolerance_pct": 5.0},
        "turn": {"metric": "ttft_p50", "factor": 2.0, "last_rate_before": 2.0, "first_rate_after": 4.5},
    }


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


def traced(tool: str) -> dict[str, Any]:
    """The document of one of the tracing tools."""
    shapes = {side: [{"name": "", "dtype": "bfloat16", "shape": [7, 576]}] for side in ("inputs", "outputs")}
    kind = {"kind": "norm", "calls": 5, "counted": [5, 4], "holds": False, "why": HOSTILE}
    row = {"class": "RMSNorm", "modules": 5, "calls": 9, "seconds": 0.25, "self_seconds": 0.25}
    kernel = {"class": "norm", "calls": 9, "seconds": 0.25, "share": 1.0}
    common = {
        "test_id": f"tracing_{tool}", "status": "measured", "reason": None,
        "parameters": {"prompt": HOSTILE}, "answer": HOSTILE, "forward_tokens": [7, 1],
        "environments": {"vllm": {"vllm": "0.0", "device_name": "Test CPU"}},
        "results": {
            name: {"value": value}
            for name, value in (
                ("plain_seconds", 0.2), ("traced_seconds", 0.25), ("added", 0.25), ("total_kernels", 1)
            )
        },
        "checks": [{"kind": "same_answers", "holds": True}],
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
            "classes": [{**kernel, "what": HOSTILE, "sources": [HOSTILE]}],
            "kernels": [{**kernel, "name": HOSTILE, "source": None, "average_seconds": 0.01}],
        },
    }
    return common | own[tool]


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
        "results": {name: {"value": 0.25} for name in CAPTURE_METRICS if name not in absent},
        "absent": absent,
        **{table: [row] for table in ("ranges", "os_calls", "kernels", "kernel_classes", "cuda_calls")},
        "copies": [{"kind": HOSTILE, "count": 2, "bytes": 60000, "seconds": 2e-5, "gb_per_s": 3.0}],
    }


def capture_not_run() -> dict[str, Any]:
    return {**capture_metrics(), "status": "not_run", "reason": REASON, "results": {}}
