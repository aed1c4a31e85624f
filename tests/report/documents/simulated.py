"""Documents of replays, comparisons and experiments."""

from typing import Any

from tests.report.documents.words import HOSTILE, REASON
from vllm_lab.replay.metrics import METRICS

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
