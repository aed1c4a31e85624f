"""Numbers published elsewhere, which the report sets beside ours."""

from __future__ import annotations

REFERENCE_RUN = {
    "single_turn": {
        "sharing_mean": 0.0511,
        "sharing_median": 0.0201,
        "block_reuse_rate": 0.0342,
        "block_hits_mean": 1.04,
        "block_hits_max": 10.0,
        "reuse_gap_mean_s": 0.01,
    },
    "multi_turn": {
        "sharing_mean": 0.4059,
        "sharing_median": 0.4189,
        "block_reuse_rate": 0.5795,
        "block_hits_mean": 2.38,
        "block_hits_max": 25.0,
        "reuse_gap_mean_s": 0.00,
    },
}
"""The reference run: 1,000 ShareGPT conversations, blocks of 16 tokens, 2 arrivals/s, think time 0."""

MOONCAKE_TABLE_1 = {
    "lru": {"inf": 0.51, "100000": 0.51, "50000": 0.50, "30000": 0.48, "10000": 0.40, "1000": 0.30},
    "lfu": {"inf": 0.51, "100000": 0.51, "50000": 0.49, "30000": 0.43, "10000": 0.35, "1000": 0.30},
    "length_aware": {"inf": 0.51, "100000": 0.50, "50000": 0.48, "30000": 0.42, "10000": 0.35, "1000": 0.30},
}
"""Hit rates by policy and capacity in blocks of 512 tokens: Mooncake, arXiv 2407.00079v4, table 1, on the
arXiv trace of 23,608 requests."""

MOONCAKE_CONVERSATION_RATIO = 0.40
"""The most that any cache can hit of the conversation trace: Mooncake, FAST'25, table 2 ("cache ratio")."""
