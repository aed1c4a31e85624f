"""Tables of sharing statistics: one place that knows the keys of {trace}_stats.json."""

from collections.abc import Mapping
from typing import NamedTuple

from vllm_lab.report.blocks import Cell, Column, Table, text
from vllm_lab.report.results import JsonResult, Results
from vllm_lab.report.trace_names import ordered, trace_label


class Metric(NamedTuple):
    """A row's title, its unit, and the keys of its value in the statistics."""

    title: str
    unit: str
    keys: tuple[str, ...]


REQUESTS = Metric("requests", "requests", ("requests",))
PROMPT_TOKENS = Metric("prompt tokens", "tokens", ("prompt_tokens",))
BLOCK_SIZE = Metric("block size", "tokens", ("block_size",))
SAVED_TOKENS = Metric("prefill tokens saved", "tokens", ("metrics", "saved_prefill_tokens"))
SAVED = Metric("prefill saved", "fraction", ("metrics", "saved_prefill_fraction"))
SAVED_GENERATED = Metric(
    "prefill saved, generated blocks kept too",
    "fraction",
    ("metrics", "saved_prefill_fraction_with_generated"),
)
ROWS = (
    REQUESTS,
    PROMPT_TOKENS,
    BLOCK_SIZE,
    Metric("sharing fraction, mean", "fraction", ("metrics", "sharing_fraction", "mean")),
    Metric("sharing fraction, median", "fraction", ("metrics", "sharing_fraction", "median")),
    Metric("token sharing fraction, mean", "fraction", ("metrics", "token_sharing_fraction", "mean")),
    Metric("token sharing fraction, median", "fraction", ("metrics", "token_sharing_fraction", "median")),
    Metric("requests with a hit", "fraction", ("metrics", "requests_with_hit_fraction")),
    Metric("block accesses", "blocks", ("metrics", "block_accesses")),
    Metric("distinct blocks", "blocks", ("metrics", "distinct_blocks")),
    Metric("block reuse rate", "fraction", ("metrics", "block_reuse_rate")),
    Metric("accesses per block, mean", "accesses/block", ("metrics", "block_hits", "mean")),
    Metric("accesses per block, 99th percentile", "accesses/block", ("metrics", "block_hits", "p99")),
    Metric("accesses per block, maximum", "accesses/block", ("metrics", "block_hits", "max")),
    Metric("reuse gap, mean", "s", ("metrics", "reuse_gap_s", "mean")),
    Metric("reuse gap, median", "s", ("metrics", "reuse_gap_s", "median")),
    Metric("reuse gap, 99th percentile", "s", ("metrics", "reuse_gap_s", "p99")),
    SAVED_TOKENS,
    SAVED,
    SAVED_GENERATED,
    Metric("KV cache saved", "bytes", ("metrics", "saved_kv_bytes")),
    Metric("KV cache of all distinct blocks", "bytes", ("metrics", "distinct_kv_bytes")),
)
_BY_SIZE = (
    ("Sharing, mean", "fraction", ("sharing_fraction", "mean")),
    ("Reuse rate", "fraction", ("block_reuse_rate",)),
    ("Accesses per block", "accesses/block", ("block_hits", "mean")),
    ("Prefill saved", "fraction", ("saved_prefill_fraction",)),
    ("… generated kept too", "fraction", ("saved_prefill_fraction_with_generated",)),
    ("Distinct blocks", "blocks", ("distinct_blocks",)),
)
_PERCENTILES = ("p10", "p25", "median", "p75", "p90", "p95", "p99", "max")
_WINDOW = (
    ("Mean blocks", "blocks", "mean_blocks"),
    ("Peak blocks", "blocks", "peak_blocks"),
    ("Peak KV cache", "bytes", "peak_kv_bytes"),
)
Stats = Mapping[str, JsonResult]


def stats_of(results: Results, unit: str) -> dict[str, JsonResult]:
    """Trace name -> statistics of the traces whose unit is "token" (ours) or "block" (imported), in order."""
    files = results.names("sharing/*_stats.json")
    names = ordered(file.removeprefix("sharing/").removesuffix("_stats.json") for file in files)
    found = {name: results.json(f"sharing/{name}_stats.json") for name in names}
    return {name: stats for name, stats in found.items() if stats.value("unit") == unit}


def cell(stats: Stats, trace: str, metric: Metric) -> Cell:
    """The Number of one metric of one trace, a dash where the statistics hold null."""
    found = stats[trace]
    if not found.has(*metric.keys):
        return "–"
    label = f"{trace_label(trace)}: {metric.title}"
    keys = ".".join(key for key in metric.keys if key != "metrics")
    return found.number(f"sharing.{trace}.{keys}", metric.unit, *metric.keys, label=label)


def metrics_table(id: str, stats: Stats) -> Table:
    """One column a trace, one row a metric; metrics that no trace has are left out."""
    rows = tuple(
        (metric.title[0].upper() + metric.title[1:], *(cell(stats, trace, metric) for trace in stats))
        for metric in ROWS
        if any(found.has(*metric.keys) for found in stats.values())
    )
    columns = (Column("Metric"), *(Column(trace_label(trace), numeric=True) for trace in stats))
    return Table(id, text("Sharing with an unbounded cache that forgets nothing."), columns, rows)


def percentile_table(id: str, stats: Stats) -> Table:
    """Percentiles over requests of the sharing fraction, in blocks and token by token."""
    rows = tuple(
        (
            f"{trace_label(trace)}, {level}",
            *(
                cell(stats, trace, Metric(f"{title}, {point}", "fraction", ("metrics", key, point)))
                for point in _PERCENTILES
            ),
        )
        for trace, found in stats.items()
        for level, title, key in (
            ("blocks", "sharing fraction", "sharing_fraction"),
            ("tokens", "token sharing fraction", "token_sharing_fraction"),
        )
        if found.has("metrics", key)
    )
    columns = (Column("Trace, level"), *(Column(point, numeric=True) for point in _PERCENTILES))
    return Table(id, text("Percentiles of the sharing fraction over requests."), columns, rows)


def block_size_table(id: str, stats: Stats) -> Table:
    """The main metrics at every block size that was analysed."""
    rows = tuple(
        (
            trace_label(trace),
            size,
            *(
                cell(stats, trace, Metric(f"{title}, blocks of {size}", unit, ("by_block_size", size, *keys)))
                for title, unit, keys in _BY_SIZE
            ),
        )
        for trace, found in stats.items()
        for size in sorted(found.value("by_block_size"), key=int)
    )
    numeric = (Column(title, numeric=True) for title, _, _ in _BY_SIZE)
    columns = (Column("Trace"), Column("Block size", numeric=True), *numeric)
    return Table(id, text("The same traces at each block size (in tokens)."), columns, rows)


def working_set_table(id: str, stats: Stats) -> Table:
    """Blocks in use within each window, mean and peak over the trace."""
    rows = tuple(
        (
            trace_label(trace),
            "whole trace" if window == "inf" else f"{window} s",
            *(
                cell(stats, trace, Metric(f"working set of {window} s, {title}", unit,
                                          ("metrics", "working_set", window, key)))
                for title, unit, key in _WINDOW
            ),
        )
        for trace, found in stats.items()
        for window in sorted(found.value("metrics", "working_set"), key=float)
    )  # fmt: skip
    columns = (Column("Trace"), Column("Window"), *(Column(title, numeric=True) for title, _, _ in _WINDOW))
    caption = "Working set: distinct blocks accessed within the last so many seconds."
    return Table(id, text(caption), columns, rows)
