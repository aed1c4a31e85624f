"""Documents of the sharing analysis and its sweeps."""

from typing import Any

from tests.report.documents.words import POLICIES


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
