"""The sharing metrics of a trace, as design.md and docs/sharing.md define them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from vllm_lab.common.statistics import Distribution
from vllm_lab.sharing.analysis import Sharing, shared_prefix_tokens
from vllm_lab.sharing.stream_order import StreamOrder
from vllm_lab.sharing.working_set import WorkingSet
from vllm_lab.traces.trace import Trace

FRACTION_PERCENTS = (10, 25, 75, 90, 95, 99)
TAIL_PERCENTS = (90, 99)


def trace_stats(
    trace: Trace,
    name: str,
    block_size: int,
    block_sizes: Sequence[int],
    windows: Sequence[float],
    kv_bytes: int | None,
) -> tuple[dict[str, Any], Sharing, np.ndarray | None]:
    """What `{name}_stats.json` says; also the analysis at `block_size` and the shared tokens of each prompt.

    block_size, block_sizes: tokens; a trace of blocks is analysed at its own size, whatever they say.
    windows: seconds. kv_bytes: of one token, None where no model is known (byte figures are null then).
    """
    if trace.unit == "block":
        block_size, block_sizes = trace.block_tokens, [trace.block_tokens]
    order = StreamOrder.of(trace)
    tokens = shared_prefix_tokens(trace, order)
    by_size = {size: Sharing.of(trace, order, size) for size in sorted({block_size, *block_sizes})}
    metrics = {size: sharing_metrics(found, tokens, windows, kv_bytes) for size, found in by_size.items()}
    stats = {
        "trace": name,
        "mode": trace.mode,
        "unit": trace.unit,
        "block_size": block_size,
        "requests": len(trace),
        "conversations": len(set(trace.conversation_id)),
        "prompt_tokens": int(trace.prompt_tokens.sum(dtype=np.int64)),
        "output_tokens": int(trace.output_tokens.sum(dtype=np.int64)),
        "percentiles": "linear between the two nearest ranks (numpy's default)",
        "metrics": metrics[block_size],
        "by_block_size": {str(size): found for size, found in metrics.items()},
    }
    if trace.unit == "block":
        full = Sharing.of(trace, order, block_size, partial=False)
        stats["metrics_full_blocks"] = sharing_metrics(full, None, windows, kv_bytes)
    return stats, by_size[block_size], tokens


def sharing_metrics(
    sharing: Sharing, shared_tokens: np.ndarray | None, windows: Sequence[float], kv_bytes: int | None
) -> dict[str, Any]:
    """One block size's metrics. shared_tokens: of each prompt at token level (None: unknown), int [R]."""
    prompts = sharing.trace.prompt_tokens
    accesses, blocks = sharing.accesses, sharing.tree.blocks
    distinct = int(blocks[accesses.segment[accesses.first]].sum())
    accessed = int(sharing.prompt_blocks.sum())
    block_kv = None if kv_bytes is None else kv_bytes * sharing.block_tokens
    saved = int(sharing.shared_tokens.sum())
    gaps = reuse_gaps(sharing)
    return {
        "sharing_fraction": Distribution.of(sharing.shared_tokens / prompts).summary(FRACTION_PERCENTS),
        "token_sharing_fraction": None
        if shared_tokens is None
        else Distribution.of(shared_tokens / prompts).summary(FRACTION_PERCENTS),
        "requests_with_hit_fraction": int((sharing.shared_blocks > 0).sum()) / len(prompts),
        "block_accesses": accessed,
        "distinct_blocks": distinct,
        "block_reuse_rate": 1 - distinct / accessed if accessed else None,
        "block_hits": block_hits(sharing).summary(TAIL_PERCENTS),
        "reuse_gap_s": {"count": gaps.size, **gaps.summary(TAIL_PERCENTS)},
        "saved_prefill_tokens": saved,
        "saved_prefill_fraction": saved / int(prompts.sum(dtype=np.int64)),
        "saved_prefill_fraction_with_generated": _saved_with_generated(sharing),
        "kv_bytes_per_token": kv_bytes,
        "saved_kv_bytes": None if kv_bytes is None else kv_bytes * saved,
        "distinct_kv_bytes": None if block_kv is None else block_kv * distinct,
        "working_set": {
            window_name(window): _working_set(WorkingSet.of(sharing, window), block_kv)
            for window in (*windows, math.inf)
        },
    }


def block_hits(sharing: Sharing) -> Distribution:
    """Accesses of each distinct block."""
    first = np.flatnonzero(sharing.accesses.first)
    accesses = np.diff(np.append(first, len(sharing.accesses.first)))
    return Distribution.of(accesses, sharing.tree.blocks[sharing.accesses.segment[first]])


def reuse_gaps(sharing: Sharing) -> Distribution:
    """Seconds between two successive accesses of one block, of every block and pair of accesses."""
    accesses = sharing.accesses
    time = sharing.trace.arrival_time[accesses.request]
    again = np.flatnonzero(~accesses.first)
    return Distribution.of(time[again] - time[again - 1], sharing.tree.blocks[accesses.segment[again]])


def window_name(window: float) -> str:
    """A window's key in files: its seconds, or inf."""
    return f"{window:g}"


def _working_set(working_set: WorkingSet, block_kv: int | None) -> dict[str, Any]:
    peak = working_set.peak()
    return {
        "mean_blocks": working_set.mean(),
        "peak_blocks": peak,
        "peak_kv_bytes": None if block_kv is None else block_kv * peak,
    }


def _saved_with_generated(sharing: Sharing) -> float | None:
    """Fraction of prompt tokens found in an unbounded, instantaneous cache that keeps outputs too."""
    if sharing.shared_with_generated is None:
        return None
    saved = int(sharing.shared_with_generated.sum()) * sharing.block_tokens
    return saved / int(sharing.trace.prompt_tokens.sum(dtype=np.int64))
