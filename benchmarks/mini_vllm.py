"""How fast mini_vllm is: v4_prefix compared with vLLM's own scheduler, on a growing trace, and with Dynamo.

Seconds are CPU time (user and system) of the replay alone: the trace is read before. All runs of a table take
turns in this process. Each has fresh requests and is made several times, except those of the growing trace.

    oracle   the first 1,000 requests of --trace under five sets of limits, with every step's record and
             without; vLLM's Scheduler and KVCacheManager replay the same (vllm_lab.oracle). The decisions
             must be equal, step by step, or the benchmark fails.
    growth   the first 100, 1,000, … requests of --long-trace, without records
    blocks   Mooncake's trace, block size 512, without records. With --dynamo-python, the interpreter of an
             environment that has ai-dynamo 1.6.1, dynamo.replay takes turns on the same requests (--mooncake,
             the file as published): its own wall time, and the CPU time of its process

    python benchmarks/mini_vllm.py --trace results/traces/multi_turn_trace.parquet \\
        --long-trace full/multi_turn_trace.parquet \\
        --block-trace results/traces/mooncake_conversation_trace.parquet --output mini_vllm.json
"""

from __future__ import annotations

import argparse
import gc
import json
import lzma
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from mini_vllm.limits import Limits
from mini_vllm.request import Request
from mini_vllm.tools.engines import replay
from mini_vllm.tools.trace import read_trace
from mini_vllm.v4_prefix.engine import Engine
from vllm_lab.common import console
from vllm_lab.common.errors import LabError
from vllm_lab.common.files import write_json
from vllm_lab.oracle import engine as oracle
from vllm_lab.replay import mini
from vllm_lab.replay.comparison import compare

# Limits, and the factor by which requests arrive faster.
SETTINGS = {
    "ample": (Limits(16384), 1),
    "ample, 10 times the rate": (Limits(16384), 10),
    "scarce": (Limits(400), 1),
    "scarce, priority, 10 times the rate": (Limits(700, policy="priority"), 10),
    "scarce, blocks of 128, 10 times the rate": (Limits(300, 128), 10),
}
DYNAMO = """
import json, sys, time
from dynamo.replay import run_trace_replay
start = time.process_time()
report = run_trace_replay(sys.argv[1], trace_block_size=512)
wall = report.summary["wall_time_ms"] / 1000
print(json.dumps({"wall": wall, "cpu": time.process_time() - start}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trace", help="multi-turn trace for the oracle")
    parser.add_argument("--long-trace", help="multi-turn trace of the full preset")
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000, 10_000, 30_000, 60_000])
    parser.add_argument("--block-trace", help="Mooncake's, imported")
    parser.add_argument("--mooncake", default="resources/mooncake_conversation_trace.jsonl.xz")
    parser.add_argument("--dynamo-python", metavar="PATH")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", required=True, metavar="JSON")
    args = parser.parse_args()

    result: dict[str, Any] = {}
    if args.trace:
        result["oracle"] = {
            name: against_oracle(args.trace, *setting, args.repeats) for name, setting in SETTINGS.items()
        }
    if args.long_trace:
        result["growth"] = [growth(args.long_trace, count) for count in args.counts]
    if args.block_trace:
        result["blocks"] = blocks(args.block_trace, args.repeats, args.dynamo_python, args.mooncake)
    write_json(args.output, result)
    print(json.dumps(result, indent=1))


def against_oracle(path: str, limits: Limits, closer: int, repeats: int) -> dict[str, Any]:
    """Median CPU seconds of both; LabError if the decisions differ."""

    def requests() -> list[Request]:
        rows = read_trace(path, 1000)
        for row in rows:
            row.arrival_time /= closer
        return rows

    traced = [
        oracle.TracedRequest(row.request_id, row.arrival_time, row.priority, *tokens(row))
        for row in requests()
    ]
    truth = oracle.run(traced, limits)  # also loads vLLM before the clock runs
    comparison = compare(truth, mini.run_rows("v4_prefix", requests(), limits))
    if not comparison.equal:
        raise LabError(comparison.report())
    seconds: dict[str, list[float]] = {"oracle": [], "with_records": [], "without": []}
    for _ in range(repeats):
        seconds["oracle"].append(cpu_seconds(lambda: oracle.run(traced, limits)))
        for name in ("with_records", "without"):
            engine = Engine(requests(), limits)
            seconds[name].append(cpu_seconds(lambda: list(replay(engine, name == "with_records"))))  # noqa: B023
    middle = {name: median(values) for name, values in seconds.items()}
    return {
        "steps": len(truth.steps),
        "preemptions": sum(len(step.preempted) for step in truth.steps),
        "evictions": sum(len(step.evicted) for step in truth.steps),
        "seconds": seconds,
        "ratio_with_records": middle["oracle"] / middle["with_records"],
        "ratio_without": middle["oracle"] / middle["without"],
    }


def tokens(row: Request) -> tuple[list[int], list[int]]:
    """A request's prompt and output."""
    ids = memoryview(row.token_bytes).cast("i").tolist()
    return ids[: row.prompt_tokens], ids[row.prompt_tokens :]


def growth(path: str, count: int) -> dict[str, Any]:
    """One replay of the trace's first `count` requests, blocks ample."""
    requests = read_trace(path, count)
    engine = Engine(requests, Limits(16384))
    seconds = cpu_seconds(lambda: list(replay(engine, record=False)))
    total = sum(request.total_tokens for request in requests)
    visits = sum(request.output_tokens for request in requests)  # requests × steps, but for chunks
    return {
        "requests": count,
        "tokens": total,
        "steps": engine.steps,
        "seconds": seconds,
        "seconds_per_million_tokens": seconds / total * 1e6,
        "microseconds_per_request_and_step": seconds / visits * 1e6,
    }


def blocks(path: str, repeats: int, dynamo_python: str | None, mooncake: str) -> dict[str, Any]:
    """Requests per second on a trace of block ids."""
    seconds: dict[str, list[float]] = {"mini_vllm": [], "dynamo_cpu": [], "dynamo_wall": []}
    with tempfile.TemporaryDirectory() as folder:
        published = Path(folder) / "trace.jsonl"
        published.write_bytes(lzma.decompress(Path(mooncake).read_bytes()))
        for _ in range(repeats):
            engine = Engine(read_trace(path), Limits(16384, 512))
            count = len(engine.coming)
            seconds["mini_vllm"].append(cpu_seconds(lambda: list(replay(engine, record=False))))  # noqa: B023
            if dynamo_python:
                command = [dynamo_python, "-c", DYNAMO, published]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                dynamo = json.loads(output.splitlines()[-1])
                seconds["dynamo_cpu"].append(dynamo["cpu"])
                seconds["dynamo_wall"].append(dynamo["wall"])
    rates = {name: count / median(values) for name, values in seconds.items() if values}
    return {"requests": count, "steps": engine.steps, "seconds": seconds, "requests_per_second": rates}


def cpu_seconds(run: Callable[[], Any]) -> float:
    """CPU seconds of this process that `run` takes. The garbage collector leaves older objects alone."""
    gc.collect()
    gc.freeze()
    start = time.process_time()
    run()
    seconds = time.process_time() - start
    gc.unfreeze()
    return seconds


if __name__ == "__main__":
    console.run(main)
