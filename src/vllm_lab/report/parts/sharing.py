"""Prefix sharing, of tokens and of imported block hashes: from sharing/{trace}_stats.json and its figures.

The cache sweeps and the comparisons with published runs follow in the same section, from
`sharing_sweeps` and `sharing_published`.
"""

from collections.abc import Mapping

from vllm_lab.common.metric import title_of
from vllm_lab.report.blocks import Answer, Block, Heading, Section, Text, numbers, section, table, text
from vllm_lab.report.parts.sharing_published import published_blocks
from vllm_lab.report.parts.sharing_sweeps import sweep_blocks
from vllm_lab.report.parts.traces import ordered, trace_label
from vllm_lab.report.results import Field, JsonResult, Results, grid
from vllm_lab.sharing.metrics import DISTRIBUTIONS, METRICS, WORKING_SET

Stats = Mapping[str, JsonResult]  # trace -> its statistics

_COUNTS = {
    "requests": Field("Requests", "requests", ("requests",)),
    "prompt_tokens": Field("Prompt tokens", "tokens", ("prompt_tokens",)),
    "block_size": Field("Block size", "tokens", ("block_size",)),
}
_POINTS = {
    "mean": "mean",
    "median": "median",
    "max": "maximum",
    **{f"p{percent}": f"{percent}th percentile" for percent in (10, 25, 75, 90, 95, 99)},
}
_SHOWN_POINTS = {"block_hits": ("mean", "p99", "max"), "reuse_gap_s": ("mean", "median", "p99")}
_ELSEWHERE = ("working_set", "kv_bytes_per_token")  # not in the table of metrics
_PERCENTILES = ("p10", "p25", "median", "p75", "p90", "p95", "p99", "max")
_BY_BLOCK_SIZE = (
    ("sharing_fraction", "mean"),
    ("block_reuse_rate",),
    ("block_hits", "mean"),
    ("saved_prefill_fraction",),
    ("saved_prefill_fraction_with_generated",),
    ("distinct_blocks",),
)
_FIGURES = {
    "sharing_fraction_cdf": "How much of its prompt a request shares with earlier requests: the cumulative "
    "share of requests, in whole blocks and token by token.",
    "comparison": "Single-turn and multi-turn traces compared: how later turns of a conversation change "
    "sharing.",
    "block_hit_distribution": "How often a block is accessed: the share of distinct blocks by accesses.",
    "reuse_gap_cdf": "How long a block waits for its next access, on the trace's own clock.",
    "working_set": "Distinct blocks that were accessed within a window, over the time of the trace.",
}


def build(results: Results) -> Section | None:
    """The section on sharing, sweeps and published runs; None where nothing was analysed."""
    stats = _stats(results)
    tokens = {trace: found for trace, found in stats.items() if found.value("unit") == "token"}
    imported = {trace: found for trace, found in stats.items() if trace not in tokens}
    shown: list[Block] = []
    if tokens:
        shown += [Heading("Conversations", "sharing-conversations"), *_of_tokens(results, tokens)]
    if imported:
        shown += [Heading("Imported traces", "sharing-imported"), *_of_blocks(imported)]
    answers = list(_answers(tokens))
    sizes = {trace: found.value("block_size") for trace, found in stats.items()}
    for more, answered in (sweep_blocks(results, sizes), published_blocks(results)):
        shown += more
        answers += answered
    return section("sharing", "Sharing of prefixes", shown, answers)


def _stats(results: Results) -> dict[str, JsonResult]:
    start, end = "sharing/", "_stats.json"
    names = results.names(f"{start}*{end}")
    return {
        trace: results.json(f"{start}{trace}{end}", f"sharing.{trace}", trace_label(trace))
        for trace in ordered(name.removeprefix(start).removesuffix(end) for name in names)
    }


def _of_tokens(results: Results, stats: Stats) -> list[Block]:
    return [
        _definitions(stats),
        _metrics_table("sharing-metrics", stats),
        *_figures(results, "sharing_fraction_cdf", "comparison"),
        _percentile_table(stats),
        Heading("Block size", level=4),
        _block_size_table(stats),
        *_figures(results, "block_hit_distribution", "reuse_gap_cdf"),
        Heading("Working set", level=4),
        _working_set_table("working-set", stats),
        *_figures(results, "working_set"),
    ]


def _of_blocks(stats: Stats) -> list[Block]:
    note = text(
        "These traces hold hashes of blocks instead of tokens. The last block of a prompt has a hash of its "
        "own although it is not full. It counts as a block here, as it does for the authors of the traces."
    )
    tables = [_metrics_table("imported-metrics", stats), _working_set_table("imported-working-set", stats)]
    return [note, *tables]


def _definitions(stats: Stats) -> Text:
    return text(
        "The sharing fraction of a prompt is the part of it in leading full blocks of {size} tokens that an "
        "earlier prompt already had. The token sharing fraction is the longest common beginning, counted "
        "token by token. No block size can exceed it. The block reuse rate is 1 − distinct blocks / block "
        "accesses. A reuse gap is the time between two successive accesses of one block.",
        size=next(iter(stats.values())).cell(_COUNTS["block_size"]),
    )


def _figures(results: Results, *names: str) -> list[Block]:
    return [figure for name in names for figure in results.figure(f"sharing/figures/{name}", _FIGURES[name])]


def _field(metric: str, *point: str, within: tuple[str, ...] = ("metrics",)) -> Field:
    """A metric of the statistics, or one point of a distribution."""
    title = ", ".join((title_of(metric, METRICS[metric]), *(_POINTS[name] for name in point)))
    return Field(title, METRICS[metric].unit, (*within, metric, *point))


def _metrics_table(id: str, stats: Stats) -> Block:
    """One column per trace, one row per metric; metrics that no trace has are left out."""
    points = {metric: _SHOWN_POINTS.get(metric, ("mean", "median")) for metric in DISTRIBUTIONS}
    fields = [*_COUNTS.values()]
    for metric in (metric for metric in METRICS if metric not in _ELSEWHERE):
        fields += [_field(metric, point) for point in points.get(metric, ())] or [_field(metric)]
    rows = (
        (field.title, *(found.cell(field) for found in stats.values()))
        for field in fields
        if any(found.has(*field.keys) for found in stats.values())
    )
    caption = "Sharing with an unbounded cache that never evicts a block."
    return table(id, caption, ("Metric", *numbers(*map(trace_label, stats))), rows)


def _percentile_table(stats: Stats) -> Block:
    rows = (
        (f"{trace_label(trace)}, {level}", *(found.cell(_field(metric, point)) for point in _PERCENTILES))
        for trace, found in stats.items()
        for level, metric in (("blocks", "sharing_fraction"), ("tokens", "token_sharing_fraction"))
        if found.has("metrics", metric)
    )
    caption = "Percentiles of the sharing fraction over the requests."
    return table("sharing-percentiles", caption, ("Trace, level", *numbers(*_PERCENTILES)), rows)


def _block_size_table(stats: Stats) -> Block:
    """The main metrics at every block size that was analysed."""
    rows = (
        ((trace_label(trace), size), found.at("by_block_size", size, label=f"blocks of {size} tokens"))
        for trace, found in stats.items()
        for size in sorted(found.value("by_block_size"), key=int)
    )
    fields = [_field(*keys, within=()) for keys in _BY_BLOCK_SIZE]
    caption = "The same traces with each block size, in tokens."
    return grid("block-sizes", caption, ("Trace", "Block size"), rows, fields)


def _working_set_table(id: str, stats: Stats) -> Block:
    rows = []
    for trace, found in stats.items():
        sets = found.at("metrics", "working_set", id="working_set")
        for window in sorted(sets.body, key=float):
            words = "whole trace" if window == "inf" else f"{window} s"
            rows.append(((trace_label(trace), words), sets.at(window, label=f"window of {window} s")))
    fields = [Field(title_of(name, metric), metric.unit, (name,)) for name, metric in WORKING_SET.items()]
    caption = "Working set: the distinct blocks that were accessed within a window that ends now."
    return grid(id, caption, ("Trace", "Window"), rows, fields)


def _answers(stats: Stats) -> tuple[Answer, ...]:
    """The first question of a capacity planner, answered from the multi-turn trace."""
    if "multi_turn" not in stats:
        return ()
    found = stats["multi_turn"]
    paragraphs = [
        text(
            "Prefix caching can save {saved}. The {requests} multi-turn requests have {tokens} prompt "
            "tokens. {count} of these are in blocks that an earlier prompt already had, so an unbounded "
            "cache leaves only the rest to compute. vLLM also keeps the blocks of generated replies. With "
            "these the cache saves {generated}.",
            saved=found.cell(_field("saved_prefill_fraction")),
            tokens=found.cell(_COUNTS["prompt_tokens"]),
            requests=found.cell(_COUNTS["requests"]),
            count=found.cell(_field("saved_prefill_tokens")),
            generated=found.cell(_field("saved_prefill_fraction_with_generated")),
        )
    ]
    if "single_turn" in stats:
        paragraphs.append(
            text(
                "First turns alone would save {first}. Most of the saving is due to conversations that "
                "continue, because each later turn repeats everything before it.",
                first=stats["single_turn"].cell(_field("saved_prefill_fraction")),
            )
        )
    question = "What fraction of prefill can prefix caching save on these conversations?"
    return (Answer(question, tuple(paragraphs)),)
