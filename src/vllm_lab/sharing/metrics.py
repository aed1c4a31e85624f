"""The sharing metrics: one table of their titles, units, definitions and sources.

`stats` computes them into {trace}_stats.json under these names. The figures, the report, the schema of the
statistics and docs/metrics.md take names, titles and units from here. B is the block size and P the length of
a prompt, both in tokens. *Earlier* means in an earlier row of the trace.
"""

from vllm_lab.common.metric import Metric

FRACTION_PERCENTS = (10, 25, 75, 90, 95, 99)
TAIL_PERCENTS = (90, 99)

DISTRIBUTIONS = {
    "sharing_fraction": FRACTION_PERCENTS,
    "token_sharing_fraction": FRACTION_PERCENTS,
    "block_hits": TAIL_PERCENTS,
    "reuse_gap_s": TAIL_PERCENTS,
}
"""Metrics that are distributions, with their percentiles; mean, median and maximum are given too."""

METRICS = {
    "sharing_fraction": Metric(
        "fraction",
        "B x (leading full blocks that an earlier prompt also has) / P, of each request",
        "Sharing fraction",
    ),
    "token_sharing_fraction": Metric(
        "fraction",
        "longest common token prefix with an earlier prompt / P: the bound of any block size",
        "Token sharing fraction",
    ),
    "requests_with_hit_fraction": Metric(
        "fraction", "requests that share at least one block / requests", "Requests with a hit"
    ),
    "block_accesses": Metric("blocks", "full blocks of all prompts", "Block accesses"),
    "distinct_blocks": Metric(
        "blocks",
        "different blocks among the accesses; a block is identified by its whole prefix",
        "Distinct blocks",
    ),
    "block_reuse_rate": Metric("fraction", "1 - distinct blocks / block accesses", "Block reuse rate"),
    "block_hits": Metric(
        "accesses/block", "accesses of each distinct block, the first one included", "Accesses per block"
    ),
    "reuse_gap_s": Metric(
        "s", "time between two successive accesses of one block, on the clock of the trace", "Reuse gap"
    ),
    "saved_prefill_tokens": Metric("tokens", "prompt tokens in shared blocks", "Prefill tokens saved"),
    "saved_prefill_fraction": Metric(
        "fraction", "prompt tokens in shared blocks / prompt tokens", "Prefill saved"
    ),
    "saved_prefill_fraction_with_generated": Metric(
        "fraction",
        "the same, where the blocks of earlier outputs are cached too: every block that is full without the "
        "last token of an output, which is never computed",
        "Prefill saved, generated blocks cached too",
        "vLLM: KVCacheManager.allocate_slots caches the full blocks of computed tokens",
    ),
    "kv_bytes_per_token": Metric(
        "bytes", "2 x layers x KV heads x head dimension x bytes of a number", "KV cache of one token"
    ),
    "saved_kv_bytes": Metric(
        "bytes", "prompt tokens in shared blocks x KV bytes of a token", "KV cache saved"
    ),
    "distinct_kv_bytes": Metric(
        "bytes", "distinct blocks x B x KV bytes of a token", "KV cache of all distinct blocks"
    ),
    "working_set": Metric(
        "blocks",
        "distinct blocks accessed within the last so many seconds (inf: since the start), for each window",
        "Working set",
        "P. J. Denning, The working set model for program behavior, CACM 11(5), 1968",
    ),
}

WORKING_SET = {
    "mean_blocks": Metric("blocks", "mean of the working set over the time of the trace", "Mean blocks"),
    "peak_blocks": Metric("blocks", "maximum of the working set over the time of the trace", "Peak blocks"),
    "peak_kv_bytes": Metric("bytes", "peak blocks x B x KV bytes of a token", "Peak KV cache"),
}
"""What the statistics say about the working set of each window."""

HIT_RATES = {
    "hit_rate": Metric("fraction", "blocks found in the cache / block accesses", "Block hit rate"),
    "token_hit_rate": Metric(
        "fraction", "prompt tokens found in the cache / prompt tokens", "Token hit rate"
    ),
}
"""What a sweep measures for each block size, policy and capacity."""

_REFERENCE = {
    "sharing_mean": ("sharing_fraction", "mean", "Sharing, mean"),
    "sharing_median": ("sharing_fraction", "median", "Sharing, median"),
    "block_reuse_rate": ("block_reuse_rate", "", "Reuse rate"),
    "block_hits_mean": ("block_hits", "mean", "Accesses per block, mean"),
    "block_hits_max": ("block_hits", "maximum", "Accesses per block, maximum"),
    "reuse_gap_mean_s": ("reuse_gap_s", "mean", "Reuse gap, mean"),
}
REFERENCE = {
    name: Metric(METRICS[metric].unit, (f"{point} of: " if point else "") + METRICS[metric].definition, title)
    for name, (metric, point, title) in _REFERENCE.items()
}
"""The figures of the published reference run, in the order of reference.csv."""
