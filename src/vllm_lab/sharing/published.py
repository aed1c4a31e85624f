"""Hit rates that Mooncake's authors published, and a comparison with those of this project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vllm_lab.sharing.metrics import Row

MOONCAKE_TABLE_1 = {
    "lru": {"inf": 0.51, "100000": 0.51, "50000": 0.50, "30000": 0.48, "10000": 0.40, "1000": 0.30},
    "lfu": {"inf": 0.51, "100000": 0.51, "50000": 0.49, "30000": 0.43, "10000": 0.35, "1000": 0.30},
    "length_aware": {"inf": 0.51, "100000": 0.50, "50000": 0.48, "30000": 0.42, "10000": 0.35, "1000": 0.30},
}
"""Hit rates by policy and capacity in blocks of 512 tokens."""
MOONCAKE_TABLE_1_REQUESTS = 23_608  # of the trace in the arXiv paper

MOONCAKE_CONVERSATION_RATIO = 0.40

NEARLY_ALL = 0.9  # of the hits of an unbounded cache, in the note on table 1


def mooncake_comparison(sweep: Sequence[Row], stats: dict[str, Any]) -> dict[str, Any]:
    """Table 1 of the arXiv paper and the cache ratio of FAST'25, each with the figures found here.

    sweep: the rows of the conversation trace's sweep, with the partial last block counted. The figure found
    here is null for a capacity that was not swept. stats: the sharing statistics of the same trace.
    """
    found = {(row["policy"], row["capacity_blocks"]): float(row["hit_rate"]) for row in sweep}
    rows = []
    for policy, rates in MOONCAKE_TABLE_1.items():
        for capacity, published in rates.items():
            here = found.get((policy, capacity))
            row = {"policy": policy, "capacity_blocks": capacity, "published": published, "ours": here}
            rows.append({**row, "difference": None if here is None else here - published})
    readings = [
        {"reading": name, "ours": value, "difference": value - MOONCAKE_CONVERSATION_RATIO}
        for name, value in _readings(stats).items()
    ]
    return {
        "table_1": {"source": "arXiv 2407.00079v4, table 1", "note": _note(found, stats), "rows": rows},
        "cache_ratio": {
            "source": "FAST'25, table 2, conversation: the most that any cache can hit",
            "published": MOONCAKE_CONVERSATION_RATIO,
            "readings": readings,
            "closest": min(readings, key=lambda reading: abs(reading["difference"]))["reading"],
            "note": "The paper does not say which two numbers it divides.",
        },
    }


def _readings(stats: dict[str, Any]) -> dict[str, float]:
    """What the published ratio may mean, and its value here."""
    counted, full = stats["metrics"], stats["metrics_full_blocks"]
    return {
        "block hits / block accesses, the partial last block counted": counted["block_reuse_rate"],
        "block hits / block accesses, full blocks only": full["block_reuse_rate"],
        "prompt tokens in hit blocks / prompt tokens": counted["saved_prefill_fraction"],
        "mean over requests of the shared fraction of the prompt": counted["sharing_fraction"]["mean"],
    }


def _note(found: Mapping[tuple[str, str], float], stats: dict[str, Any]) -> str:
    """Why the levels of table 1 differ; every figure is published or computed from the analysed trace.

    found: (policy, capacity in blocks) -> block hit rate.
    """
    published, metrics = MOONCAKE_TABLE_1["lru"], stats["metrics"]
    smallest = min(published, key=float)
    small_here = f" and {found['lru', smallest]:.0%} here" if ("lru", smallest) in found else ""
    popular = metrics["block_hits"]["max"] / metrics["block_accesses"]
    sentences = [
        f"Table 1 was measured on another trace, which has {MOONCAKE_TABLE_1_REQUESTS:,} requests; "
        f"the trace used here has {stats['requests']:,}.",
        f"An unbounded cache hits {published['inf']:.2f} of the block accesses there and at most "
        f"{max(_readings(stats).values()):.2f} here by any reading.",
        f"A cache of {int(smallest):,} blocks hits {published[smallest]:.0%} there{small_here}.",
        f"Here the most popular block makes {popular:.1%} of the accesses, and the median time between two "
        f"accesses of a block is {metrics['reuse_gap_s']['median']:.0f} s.",
        _needed(found),
        "The order of the policies can be compared, but not the levels.",
    ]
    return " ".join(filter(None, sentences))


def _needed(found: Mapping[tuple[str, str], float]) -> str:
    """How many blocks lru needs here for nearly all hits; empty where no swept capacity is enough."""
    lru = {float(capacity): rate for (policy, capacity), rate in found.items() if policy == "lru"}
    wanted = NEARLY_ALL * lru.get(float("inf"), 0.0)
    enough = [capacity for capacity, rate in lru.items() if rate >= wanted and capacity < float("inf")]
    if not wanted or not enough:
        return ""
    share = f"{NEARLY_ALL:.0%} of the hits of an unbounded cache"
    return f"With lru, {share} need at most {min(enough):,.0f} blocks."
