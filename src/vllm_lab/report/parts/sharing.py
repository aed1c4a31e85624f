"""Prefix sharing of our own traces: from sharing/{trace}_stats.json and the figures beside them."""

from vllm_lab.report import metric_tables as tables
from vllm_lab.report.blocks import Answer, Block, Figure, Heading, Section, Text, text
from vllm_lab.report.metric_tables import Stats, cell
from vllm_lab.report.results import Results

_FIGURES = {
    "sharing_fraction_cdf": "How much of its prompt a request shares with earlier ones: cumulative share of "
    "requests, in whole blocks and token by token.",
    "comparison": "Single-turn beside multi-turn: what going on with a conversation does to sharing.",
    "block_hit_distribution": "How often a block is accessed: share of distinct blocks by accesses.",
    "reuse_gap_cdf": "How long a block waits for its next access, on the trace's own clock.",
    "working_set": "Blocks accessed within a window, over the trace's time: the cache in use.",
}


def build(results: Results) -> Section | None:
    """The section on our own (token) traces; None where none was analysed."""
    stats = tables.stats_of(results, "token")
    if not stats:
        return None
    blocks: tuple[Block, ...] = (
        _definitions(stats),
        tables.metrics_table("sharing-metrics", stats),
        *_figures(results, "sharing_fraction_cdf", "comparison"),
        tables.percentile_table("sharing-percentiles", stats),
        Heading("Block size"),
        tables.block_size_table("block-sizes", stats),
        *_figures(results, "block_hit_distribution", "reuse_gap_cdf"),
        Heading("Working set"),
        tables.working_set_table("working-set", stats),
        *_figures(results, "working_set"),
    )
    return Section("sharing", "Prefix sharing", blocks, _answers(stats))


def _definitions(stats: Stats) -> Text:
    return text(
        "A prompt's sharing fraction is the part of it that lies in leading full blocks of {size} tokens "
        "which some earlier prompt already had; the token sharing fraction counts the longest common "
        "beginning token by token and is the bound that no block size can pass. Reuse rate is one less the "
        "distinct blocks per block access. A reuse gap is the time between two successive accesses of one "
        "block.",
        size=cell(stats, next(iter(stats)), tables.BLOCK_SIZE),
    )


def _figures(results: Results, *names: str) -> list[Figure]:
    """Those of the figures that were drawn."""
    images = ((name, results.image(f"sharing/figures/{name}")) for name in names)
    return [
        Figure(
            name, image, text(_FIGURES[name]), f"{_FIGURES[name]} The tables of this section hold the values."
        )
        for name, image in images
        if image
    ]


def _answers(stats: Stats) -> tuple[Answer, ...]:
    """The first question of a capacity planner, answered from the multi-turn trace."""
    if "multi_turn" not in stats:
        return ()
    paragraphs = [
        text(
            "{saved}. Of the {tokens} prompt tokens in {requests} multi-turn requests, {count} stand in "
            "blocks that an earlier prompt already had, so a cache that forgets nothing computes the rest "
            "only. With generated replies kept in the cache too, as vLLM keeps them, it saves {generated}.",
            saved=cell(stats, "multi_turn", tables.SAVED),
            tokens=cell(stats, "multi_turn", tables.PROMPT_TOKENS),
            requests=cell(stats, "multi_turn", tables.REQUESTS),
            count=cell(stats, "multi_turn", tables.SAVED_TOKENS),
            generated=cell(stats, "multi_turn", tables.SAVED_GENERATED),
        )
    ]
    if "single_turn" in stats:
        paragraphs.append(
            text(
                "First turns alone would save {first}. The difference is conversations that go on: each "
                "later turn repeats all that was said before it.",
                first=cell(stats, "single_turn", tables.SAVED),
            )
        )
    question = "What fraction of prefill can prefix caching save on these conversations?"
    return (Answer(question, tuple(paragraphs)),)
