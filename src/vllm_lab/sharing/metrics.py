"""The sharing metrics with their units, definitions and sources, and the columns of the sharing tables.

`stats` computes the metrics into {trace}_stats.json under these names. The figures, the report, the schemas
and docs/metrics.md read them here. B is the block size and P the length of a prompt, both in tokens.
*Earlier* means in an earlier row of the trace.

A column's type is int, float or string, with a "?" where a value may be empty.
"""

import csv
import os
from pathlib import Path

from vllm_lab.common.errors import LabError
from vllm_lab.common.metric import Metric

DISTRIBUTIONS = {
    "sharing_fraction": (10, 25, 75, 90, 95, 99),
    "token_sharing_fraction": (10, 25, 75, 90, 95, 99),
    "block_hits": (90, 99),
    "reuse_gap_s": (90, 99),
}
"""Metrics that are distributions, with their percentiles; mean, median and maximum are given too."""

METRICS = {
    "sharing_fraction": Metric(
        "fraction", "B x (leading full blocks that an earlier prompt also has) / P, of each request"
    ),
    "token_sharing_fraction": Metric(
        "fraction", "longest common token prefix with an earlier prompt / P: the bound of any block size"
    ),
    "requests_with_hit_fraction": Metric(
        "fraction", "requests that share at least one block / requests", "Requests with a hit"
    ),
    "block_accesses": Metric("blocks", "full blocks of all prompts"),
    "distinct_blocks": Metric(
        "blocks", "different blocks among the accesses; a block is identified by its whole prefix"
    ),
    "block_reuse_rate": Metric("fraction", "1 - distinct blocks / block accesses"),
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
        source="P. J. Denning, The working set model for program behavior, CACM 11(5), 1968",
    ),
}

WORKING_SET = {
    "mean_blocks": Metric("blocks", "mean of the working set over the time of the trace"),
    "peak_blocks": Metric("blocks", "maximum of the working set over the time of the trace"),
    "peak_kv_bytes": Metric("bytes", "peak blocks x B x KV bytes of a token", "Peak KV cache"),
}
"""The statistics of the working set, for each window."""

HIT_RATES = {
    "hit_rate": Metric("fraction", "blocks found in the cache / block accesses", "Block hit rate"),
    "token_hit_rate": Metric("fraction", "prompt tokens found in the cache / prompt tokens"),
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

REQUEST_COLUMNS = {
    "request_id": "string", "conversation_id": "string", "turn": "int", "arrival_time": "float",
    "prompt_tokens": "int", "shared_blocks": "int", "sharing_fraction": "float",
    "token_sharing_fraction": "float?", "shared_tokens": "int?",
}  # fmt: skip
BLOCK_COLUMNS = {
    "block": "int", "depth": "int", "hits": "int",
    "first_access": "float", "last_access": "float", "mean_gap": "float?",
}  # fmt: skip
GAP_COLUMNS = {"gap_s": "float", "count": "int"}
WORKING_SET_COLUMNS = {"time_s": "float", "window_s": "float", "blocks": "int", "kv_bytes": "int?"}
SWEEP_COLUMNS = {
    "trace": "string", "block_size": "int", "policy": "string",
    "capacity_tokens": "float", "capacity_blocks": "float", "capacity_gib": "float?",
    "requests": "int", "block_accesses": "int", "block_hits": "int",
    "hit_rate": "float", "token_hit_rate": "float",
}  # fmt: skip
REFERENCE_COLUMNS = {
    "mode": "string", "metric": "string", "unit": "string",
    "level": "string", "opening": "string", "short_prompts": "string", "definition": "string",
    "published": "float", "ours": "float?", "difference": "float?",
    "band_min": "float?", "band_p10": "float?", "band_median": "float?", "band_p90": "float?",
    "band_max": "float?", "within_band": "string", "fits": "string",
}  # fmt: skip

Row = dict[str, str]  # a row of a CSV file, as text by column


def read_sweep(path: str | os.PathLike) -> list[Row]:
    """The rows of a sweep. LabError for a file that is missing or has other columns than SWEEP_COLUMNS."""
    try:
        reader = csv.DictReader(Path(path).read_text(encoding="utf-8").splitlines())
    except FileNotFoundError as error:
        raise LabError(f"{path}: no such file; run the rule sharing_sweep") from error
    found, wanted = list(reader.fieldnames or ()), list(SWEEP_COLUMNS)
    if found != wanted:
        raise LabError(f"{path}: columns are {found}, must be {wanted}; run the rule sharing_sweep again")
    return list(reader)
