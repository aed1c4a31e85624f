"""The speed of the sharing metrics: prefix tree, plain loop that hashes every prompt, and vLLM's scheduler.

All three run in this process, one after the other, on the same traces and block sizes:
    tree       the statistics of scripts/sharing_analysis.py (vllm_lab.sharing), from the trace in memory
    plain      the same numbers without working sets, block by block with xxh3 and a dictionary
    scheduler  vLLM's Scheduler and KVCacheManager, with prefix caching, without a model, with ample blocks
               and one output token; run once
The plain loop must find the same numbers. The scheduler must hit exactly the tokens that the tree predicts.
It never takes the last token of a prompt from the cache: it hits min(shared, (prompt - 1) // block) blocks.

    python benchmarks/sharing.py --trace results/traces/multi_turn_trace.parquet --output sharing.json
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from plain_sharing import plain_metrics
from scheduler_hits import scheduler_hits

from vllm_lab.common import console, flags
from vllm_lab.common.errors import LabError
from vllm_lab.common.files import write_json
from vllm_lab.sharing.analysis import Sharing
from vllm_lab.sharing.stats import trace_stats
from vllm_lab.traces.prefix_tree import StreamOrder
from vllm_lab.traces.trace import Trace

WINDOWS = (60.0, 600.0)


def main() -> None:
    parser = flags.parser_of(__doc__)
    parser.add_argument("--trace", nargs="+", required=True, help="traces of tokens")
    parser.add_argument("--block-sizes", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--conversations", type=int, help="the first so many conversations of each trace")
    parser.add_argument("--repeats", type=int, default=5, help="of tree and plain; the scheduler runs once")
    parser.add_argument("--without-scheduler", action="store_true", help="where vLLM is not installed")
    flags.add_paths(parser, output="result, .json")
    args = parser.parse_args()

    traces = [first_conversations(Trace.read(path), args.conversations) for path in args.trace]
    sizes = sorted(args.block_sizes)
    (tree_s, tree), (plain_s, plain) = timed_in_turns(
        lambda: [tree_stats(trace, sizes) for trace in traces],
        lambda: [{size: plain_metrics(trace, size) for size in sizes} for trace in traces],
        repeats=args.repeats,
    )
    check_plain(tree, plain)
    result = {
        "requests": [len(trace) for trace in traces],
        "prompt_tokens": [int(trace.prompt_tokens.sum(dtype=np.int64)) for trace in traces],
        "block_sizes": sizes,
        "tree_s": tree_s,
        "plain_s": plain_s,
        "plain_over_tree": statistics.median(plain_s) / statistics.median(tree_s),
    }
    if not args.without_scheduler:
        seconds = sum(scheduler_seconds(trace, size) for trace in traces for size in sizes)
        result |= {"scheduler_s": [seconds], "scheduler_over_tree": seconds / statistics.median(tree_s)}
    write_json(args.output, result)
    for name, value in result.items():
        print(f"{name}: {value}")


def first_conversations(trace: Trace, count: int | None) -> Trace:
    """The requests of the `count` conversations that start first; all if None."""
    if count is None:
        return trace
    chosen = set(list(dict.fromkeys(trace.conversation_id))[:count])
    rows = [row for row, name in enumerate(trace.conversation_id) if name in chosen]
    return Trace.from_requests(
        [trace.prompt(row) for row in rows],
        [trace.output(row) for row in rows],
        trace.arrival_time[rows],
        request_id=[trace.request_id[row] for row in rows],
        conversation_id=[trace.conversation_id[row] for row in rows],
        metadata=trace.metadata,
    )


def timed_in_turns(*runs: Callable[[], Any], repeats: int) -> list[tuple[list[float], Any]]:
    """Seconds and result of each run; the runs take turns, so that other load affects all."""
    seconds: list[list[float]] = [[] for _ in runs]
    values: list[Any] = [None] * len(runs)
    for _ in range(repeats):
        for number, run in enumerate(runs):
            start = time.perf_counter()
            values[number] = run()
            seconds[number].append(time.perf_counter() - start)
    return list(zip(seconds, values, strict=True))


def tree_stats(trace: Trace, sizes: Sequence[int]) -> dict[str, Any]:
    stats, *_ = trace_stats(trace, "benchmark", sizes[0], sizes, WINDOWS, None)
    return stats["by_block_size"]


def check_plain(tree: Sequence[dict[str, Any]], plain: Sequence[dict[int, Any]]) -> None:
    """LabError where the plain loop finds other numbers than the tree."""
    for by_size, reference in zip(tree, plain, strict=True):
        for size, expected in reference.items():
            for path, value in expected.items():
                found: Any = by_size[str(size)]
                for key in path.split("."):
                    found = found[key]
                if not np.isclose(found, value, rtol=1e-12, atol=0):
                    raise LabError(f"block size {size}: {path} is {found}, the plain loop finds {value}")


def scheduler_seconds(trace: Trace, size: int) -> float:
    """Seconds that vLLM's scheduler takes; LabError if it hits other tokens than predicted."""
    sharing = Sharing.of(trace, StreamOrder.of(trace), size)
    expected = np.minimum(sharing.shared_blocks, (trace.prompt_tokens - 1) // size).sum() * size
    distinct = int(sharing.tree.blocks[sharing.accesses.segment[sharing.accesses.first]].sum())
    seconds, hits = scheduler_hits(trace, size, blocks=distinct + 2 * len(trace) + 100_000)
    if hits != expected:
        raise LabError(f"block size {size}: the scheduler hit {hits} tokens, {expected} were expected")
    console.log(f"scheduler, block size {size}: {seconds:.1f} s, {hits} tokens hit, as expected")
    return seconds


if __name__ == "__main__":
    console.run(main)
