"""A server's Prometheus page, and what changed on it between two readings."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

COUNTERS = {
    "prefix_cache_queries": "vllm:prefix_cache_queries_total",  # prompt tokens looked up
    "prefix_cache_hits": "vllm:prefix_cache_hits_total",  # of these, tokens found
    "preemptions": "vllm:num_preemptions_total",
    "prompt_tokens": "vllm:prompt_tokens_total",
    "generation_tokens": "vllm:generation_tokens_total",
}


def read_counters(base_url: str) -> dict[str, int]:
    """COUNTERS now, summed over a server's engines; httpx.HTTPError where it does not answer."""
    page = httpx.get(f"{base_url}/metrics", trust_env=False).raise_for_status().text
    totals: dict[str, float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            totals[sample.name] = totals.get(sample.name, 0.0) + sample.value
    return {name: int(totals[sample]) for name, sample in COUNTERS.items()}


def difference(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """How much each counter grew."""
    return {name: after[name] - before[name] for name in COUNTERS}
