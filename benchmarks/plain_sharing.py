"""The sharing metrics in the most obvious way: every prompt is hashed block by block."""

from __future__ import annotations

import math
import statistics

import numpy as np
import xxhash

from vllm_lab.traces.trace import Trace


def plain_metrics(trace: Trace, block_size: int) -> dict[str, float]:
    """Values by their dotted path in the statistics."""
    count: dict[bytes, int] = {}
    last: dict[bytes, float] = {}
    fractions, gaps, shared_total, accesses, hit_requests = [], [], 0, 0, 0
    for row in range(len(trace)):
        prompt = trace.prompt(row)
        raw, tokens, now = prompt.tobytes(), len(prompt), float(trace.arrival_time[row])
        digest, shared, leading = b"", 0, True
        for end in range(block_size, tokens + 1, block_size):
            digest = xxhash.xxh3_128_digest(digest + raw[4 * (end - block_size) : 4 * end])
            accesses += 1
            if digest in count:
                count[digest] += 1
                gaps.append(now - last[digest])
                shared += leading
            else:
                count[digest] = 1
                leading = False
            last[digest] = now
        fractions.append(shared * block_size / tokens)
        shared_total += shared * block_size
        hit_requests += shared > 0
    return {
        "sharing_fraction.mean": math.fsum(fractions) / len(fractions),
        "sharing_fraction.median": statistics.median(fractions),
        "sharing_fraction.p99": float(np.percentile(fractions, 99)),
        "requests_with_hit_fraction": hit_requests / len(trace),
        "block_accesses": accesses,
        "distinct_blocks": len(count),
        "block_reuse_rate": 1 - len(count) / accesses,
        "block_hits.mean": accesses / len(count),
        "block_hits.median": statistics.median(count.values()),
        "block_hits.max": max(count.values()),
        "reuse_gap_s.count": len(gaps),
        "reuse_gap_s.mean": math.fsum(gaps) / len(gaps),
        "reuse_gap_s.p99": float(np.percentile(gaps, 99)),
        "saved_prefill_tokens": shared_total,
    }
