"""Published figures compared with this project's: a reference run on ShareGPT, and Mooncake's hit rates.

The description of the reference run leaves open whether sharing is counted in whole blocks or in tokens, what
comes before the text of the first message (`openings`), and whether prompts shorter than a block count in the
sharing fractions. Nothing is tuned: each combination is computed on the first conversations of the file and
on random samples of the same size, and the nearest one to each published figure is marked.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from vllm_lab.common import console
from vllm_lab.common.errors import LabError
from vllm_lab.common.statistics import Distribution
from vllm_lab.sharing.analysis import Sharing
from vllm_lab.sharing.metrics import REFERENCE, REFERENCE_COLUMNS, Row
from vllm_lab.sharing.stats import block_hits, reuse_gaps
from vllm_lab.traces.prefix_tree import StreamOrder
from vllm_lab.traces.trace import Trace
from vllm_lab.traces.workload import Arrivals, Selection, StreamTable, Workload

REFERENCE_RUN = {
    "single_turn": {
        "sharing_mean": 0.0511, "sharing_median": 0.0201, "block_reuse_rate": 0.0342,
        "block_hits_mean": 1.04, "block_hits_max": 10.0, "reuse_gap_mean_s": 0.01,
    },
    "multi_turn": {
        "sharing_mean": 0.4059, "sharing_median": 0.4189, "block_reuse_rate": 0.5795,
        "block_hits_mean": 2.38, "block_hits_max": 25.0, "reuse_gap_mean_s": 0.00,
    },
}  # fmt: skip
"""The published figures, by mode and by the names in metrics.REFERENCE."""

OPENINGS = {
    "default_system_prompt": "prompts begin with the template's default system prompt",
    "role_marker": "prompts begin with the template's role marker",
    "bare": "prompts begin with the user's text",
}
"""What each opening puts before the text of the first message."""

MOONCAKE_TABLE_1 = {
    "lru": {"inf": 0.51, "100000": 0.51, "50000": 0.50, "30000": 0.48, "10000": 0.40, "1000": 0.30},
    "lfu": {"inf": 0.51, "100000": 0.51, "50000": 0.49, "30000": 0.43, "10000": 0.35, "1000": 0.30},
    "length_aware": {"inf": 0.51, "100000": 0.50, "50000": 0.48, "30000": 0.42, "10000": 0.35, "1000": 0.30},
}
"""Hit rates by policy and capacity in blocks of 512 tokens."""
MOONCAKE_TABLE_1_REQUESTS = 23_608  # of the trace in the arXiv paper
MOONCAKE_CONVERSATION_RATIO = 0.40  # cache ratio of the conversation trace in FAST'25
NEARLY_ALL = 0.9  # of the hits of an unbounded cache, in the note on table 1


class Definition(NamedTuple):
    """One reading of a metric. short_prompts matters to sharing fractions only and is "" elsewhere."""

    level: str  # block | token
    opening: str  # default_system_prompt | role_marker | bare
    short_prompts: str  # included | excluded | ""

    def describe(self, block_size: int) -> str:
        """The definition in words."""
        level = f"blocks of {block_size} tokens" if self.level == "block" else "token level"
        short = {"excluded": f", those below {block_size} tokens left out"}.get(self.short_prompts, "")
        return f"{level}; {OPENINGS[self.opening]}{short}"


@dataclass(frozen=True)
class Reference:
    """The settings of the reference run, applied to given token streams. The think time is 0."""

    streams: StreamTable
    default_system_prompt: dict[str, Any]  # from the summary of the streams: policy, token_ids
    count: int = 1000  # conversations
    rate: float = 2.0  # conversations that arrive per second
    block_size: int = 16  # tokens

    def compare(self, samples: int, seed: int) -> list[dict[str, Any]]:
        """A row of REFERENCE_COLUMNS for each mode, metric and definition; bands over `samples` >= 1 samples.

        seed draws the arrivals of the first conversations; seed + 1, … each draw a sample and its arrivals.
        """
        point = self._figures("first", seed)
        seeds = console.progress(range(seed + 1, seed + 1 + samples), desc="samples", total=samples)
        sampled = [self._figures("random", number) for number in seeds]
        rows = [self._row(*key, value, [figures[key] for figures in sampled]) for key, value in point.items()]
        rows.sort(key=lambda row: (row["mode"], list(REFERENCE).index(row["metric"])))
        for _, group in itertools.groupby(rows, key=lambda row: (row["mode"], row["metric"])):
            min(group, key=lambda row: abs(row["difference"]))["fits"] = True
        return rows

    def _figures(self, order: str, seed: int) -> dict[tuple[str, str, Definition], float]:
        found = {}
        for mode in REFERENCE_RUN:
            chosen, arrivals = Selection(self.count, order, "user"), Arrivals(self.rate, 0.0, "fixed")
            workload = Workload(mode, chosen, arrivals, ((0, 1.0),), 1, over_context="keep", seed=seed)
            trace, _ = workload.build(self.streams)
            for policy, variant in openings(trace, self.default_system_prompt):
                for level, metric, short, value in _measure(variant, self.block_size):
                    found[mode, metric, Definition(level, policy, short)] = value
        return found

    def _row(
        self, mode: str, metric: str, definition: Definition, value: float, sampled: Sequence[float]
    ) -> dict[str, Any]:
        published = REFERENCE_RUN[mode][metric]
        band = Distribution.of(np.array(sampled))
        points = [band.percentile(percent) for percent in (0, 10, 50, 90, 100)]
        within = points[0] <= published <= points[-1]
        what = (mode, metric, REFERENCE[metric].unit, *definition, definition.describe(self.block_size))
        values = (*what, published, value, value - published, *points, within, False)
        return dict(zip(REFERENCE_COLUMNS, values, strict=True))


def _measure(trace: Trace, block_size: int) -> Iterator[tuple[str, str, str, float]]:
    """(level, metric, short prompts, value) of one trace."""
    order = StreamOrder.of(trace)
    long_enough = trace.prompt_tokens >= block_size
    for level, size in (("block", block_size), ("token", 1)):
        sharing = Sharing.of(trace, order, size)
        fraction = sharing.shared_tokens / trace.prompt_tokens
        for short, chosen in (("included", fraction), ("excluded", fraction[long_enough])):
            spread = Distribution.of(chosen)
            yield level, "sharing_mean", short, spread.mean() or 0.0
            yield level, "sharing_median", short, spread.percentile(50) or 0.0
        hits, gaps = block_hits(sharing), reuse_gaps(sharing)
        yield level, "block_reuse_rate", "", 1 - hits.size / max(1, int(sharing.prompt_blocks.sum()))
        yield level, "block_hits_mean", "", hits.mean() or 0.0
        yield level, "block_hits_max", "", hits.percentile(100) or 0.0
        yield level, "reuse_gap_mean_s", "", gaps.mean() or 0.0


def closest_definition(rows: Sequence[dict[str, Any]], block_size: int) -> dict[str, Any]:
    """The definition that is closest to sharing, reuse rate and mean hits of both modes together.

    It has the smallest mean of |difference| / published over those eight figures.
    """
    compared = ("sharing_mean", "sharing_median", "block_reuse_rate", "block_hits_mean")
    definitions = {Definition(*(row[name] for name in Definition._fields)) for row in rows}

    def distance(definition: Definition) -> float:
        return fmean(
            abs(row["difference"]) / row["published"]
            for row in rows
            if (row["level"], row["opening"]) == definition[:2]
            and row["short_prompts"] in ("", definition.short_prompts)
            and row["metric"] in compared
        )

    best = min((one for one in sorted(definitions) if one.short_prompts), key=distance)
    words = best.describe(block_size)
    return {**best._asdict(), "definition": words, "mean_relative_difference": distance(best)}


def conversations_used(reference: Reference) -> dict[str, Any]:
    """How many conversations the comparison has, in words and numbers."""
    eligible = int((reference.streams.first_role == "user").sum())
    used = min(reference.count, eligible)
    statement = f"the first {used} of {eligible} conversations that begin with a user message"
    if used < reference.count:
        statement += f" (the published run had {reference.count}; every sample is these, in another order)"
    return {"asked": reference.count, "eligible": eligible, "used": used, "statement": statement}


def notes(rows: Sequence[dict[str, Any]], rate: float) -> list[str]:
    """What a reader of the rows must know. rate: conversations per second."""
    found = [
        "Prompts longer than the context of the model are kept, because no model runs.",
        "A band is the minimum, 10th percentile, median, 90th percentile and maximum of the random samples.",
    ]
    gaps = [row for row in rows if (row["mode"], row["metric"]) == ("single_turn", "reuse_gap_mean_s")]
    shortest = min((row["ours"] for row in gaps if row["ours"]), default=0.0)  # 0 where nothing is reused
    if gaps and shortest > gaps[0]["published"]:
        found.append(
            "The published reuse gaps cannot be on the clock of the trace: with first turns only and "
            f"{rate:g} arrivals/s, the mean gap is at least {shortest:.1f} s under every definition, so a "
            f"mean of {gaps[0]['published']} s was not taken from arrival times."
        )
    return found


def openings(trace: Trace, default_system_prompt: dict[str, Any]) -> Iterator[tuple[str, Trace]]:
    """(opening, trace) for each of OPENINGS; the first is absent without a default system prompt.

    default_system_prompt is that of the summary of the streams (policy keep or drop, token_ids). Every
    conversation must begin with a user message. LabError where a stream does not begin with the prompt.
    """
    ids = default_system_prompt["token_ids"]
    if ids and default_system_prompt["policy"] == "drop":
        starts = np.repeat(trace.stream_offsets[:-1], len(ids))
        streams = np.insert(trace.stream_ids, starts, ids * trace.num_streams)
        yield "default_system_prompt", _with_streams(trace, streams, len(ids))
    elif ids:
        yield "default_system_prompt", trace
        trace = _cut(trace, ids)
    yield "role_marker", trace
    # What all streams begin with; every prompt keeps one of its ids.
    shared = int(StreamOrder.of(trace).shared[1:].min(initial=trace.prompt_tokens.min() - 1))
    yield "bare", _cut(trace, trace.stream_of(0)[:shared].tolist())


def _cut(trace: Trace, ids: Sequence[int]) -> Trace:
    """The trace without `ids`, with which every stream must begin."""
    at = trace.stream_offsets[:-1, None] + np.arange(len(ids))
    if (np.diff(trace.stream_offsets) <= len(ids)).any() or (trace.stream_ids[at] != ids).any():
        lacking = "a stream does not begin with the default system prompt of the summary of the streams"
        raise LabError(f"{lacking}; run the rule traces_tokens again, so that the two are from one run")
    return _with_streams(trace, np.delete(trace.stream_ids, at.ravel()), -len(ids))


def _with_streams(trace: Trace, stream_ids: np.ndarray, longer: int) -> Trace:
    """The trace with other streams, each `longer` ids longer at its beginning."""
    offsets = trace.stream_offsets + longer * np.arange(trace.num_streams + 1)
    prompts = trace.prompt_tokens + longer
    return replace(trace, stream_ids=stream_ids, stream_offsets=offsets, prompt_tokens=prompts)


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
