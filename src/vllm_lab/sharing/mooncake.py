"""Mooncake's published hit rates beside ours on the trace that its authors gave out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vllm_lab.sharing.published import MOONCAKE_CONVERSATION_RATIO, MOONCAKE_TABLE_1

TABLE_1_NOTE = (
    "Table 1 was measured on another trace, the arXiv paper's of 23,608 requests; the file used here is the "
    "conversation trace of FAST'25, of 12,031 requests. The former's requests share more (0.51 against at "
    "most 0.41 here by any reading), and 30 % of its block accesses hit a cache of 1,000 blocks, so a small "
    "set of blocks is very popular there. Here the one block that all requests share makes 4 %; the rest is "
    "reuse within conversations, minutes apart, which needs tens of thousands of blocks. The order of the "
    "policies can be compared, the levels cannot."
)


def published_comparison(sweep: Sequence[dict[str, str]], stats: dict[str, Any]) -> dict[str, Any]:
    """Table 1 of the arXiv paper and the cache ratio of FAST'25, each beside ours.

    sweep: the rows of the conversation trace's sweep (block hit rates, the partial last block counted); a
    capacity that was not swept has ours null. stats: its sharing statistics.
    """
    found = {(row["policy"], row["capacity_blocks"]): float(row["hit_rate"]) for row in sweep}
    rows = []
    for policy, rates in MOONCAKE_TABLE_1.items():
        for capacity, published in rates.items():
            ours = found.get((policy, capacity))
            difference = None if ours is None else ours - published
            rows.append(
                {
                    "policy": policy,
                    "capacity_blocks": capacity,
                    "published": published,
                    "ours": ours,
                    "difference": difference,
                }
            )
    readings = [
        {"reading": name, "ours": value, "difference": value - MOONCAKE_CONVERSATION_RATIO}
        for name, value in _readings(stats).items()
    ]
    closest = min(readings, key=lambda reading: abs(reading["difference"]))
    return {
        "table_1": {"source": "arXiv 2407.00079v4, table 1", "note": TABLE_1_NOTE, "rows": rows},
        "cache_ratio": {
            "source": "FAST'25, table 2, conversation: the most that any cache can hit",
            "published": MOONCAKE_CONVERSATION_RATIO,
            "readings": readings,
            "closest": closest["reading"],
            "note": "The paper does not say what is divided by what.",
        },
    }


def _readings(stats: dict[str, Any]) -> dict[str, float]:
    counted, full = stats["metrics"], stats["metrics_full_blocks"]
    return {
        "block hits / block accesses, the partial last block counted": counted["block_reuse_rate"],
        "block hits / block accesses, full blocks only": full["block_reuse_rate"],
        "prompt tokens in hit blocks / prompt tokens": counted["saved_prefill_fraction"],
        "mean over requests of the shared fraction of the prompt": counted["sharing_fraction"]["mean"],
    }
