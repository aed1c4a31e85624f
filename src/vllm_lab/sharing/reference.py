"""The published reference run beside ours, under each definition that its description leaves open.

What it leaves open: whether sharing is counted in whole blocks or in tokens, what stands before the first
message's text (`openings`), and whether prompts shorter than a block count in the sharing fractions. Nothing
is tuned: each combination is computed on the first conversations of the file and on random samples of as
many, and the nearest to each published figure is marked.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from vllm_lab.common import console
from vllm_lab.common.statistics import Distribution
from vllm_lab.sharing.analysis import Sharing
from vllm_lab.sharing.metrics import block_hits, reuse_gaps
from vllm_lab.sharing.openings import openings
from vllm_lab.sharing.published import REFERENCE_RUN
from vllm_lab.sharing.stream_order import StreamOrder
from vllm_lab.traces.arrivals import Arrivals
from vllm_lab.traces.selection import Selection
from vllm_lab.traces.stream_table import StreamTable
from vllm_lab.traces.trace import Trace
from vllm_lab.traces.workload import Workload

COLUMNS = (
    *("mode", "metric", "unit", "level", "opening", "short_prompts", "definition", "published"),
    *(
        "ours",
        "difference",
        "band_min",
        "band_p10",
        "band_median",
        "band_p90",
        "band_max",
        "within_band",
        "fits",
    ),
)
UNITS = {
    "sharing_mean": "fraction",
    "sharing_median": "fraction",
    "block_reuse_rate": "fraction",
    "block_hits_mean": "accesses",
    "block_hits_max": "accesses",
    "reuse_gap_mean_s": "s",
}


class Definition(NamedTuple):
    """One reading of a metric. short_prompts matters to sharing fractions only and is "" elsewhere."""

    level: str  # block | token
    opening: str  # default_system_prompt | role_marker | bare
    short_prompts: str  # included | excluded | ""

    def describe(self, block_size: int) -> str:
        """In words."""
        level = f"blocks of {block_size} tokens" if self.level == "block" else "token level"
        opening = {
            "default_system_prompt": "prompts begin with the template's default system prompt",
            "role_marker": "prompts begin with the template's role marker",
            "bare": "prompts begin with the user's text",
        }[self.opening]
        short = {"excluded": f", those below {block_size} tokens left out"}.get(self.short_prompts, "")
        return f"{level}; {opening}{short}"


@dataclass(frozen=True)
class Reference:
    """The reference run's settings, on given token streams."""

    streams: StreamTable
    default_system_prompt: dict[str, Any]  # of the tokens' summary: policy, token_ids
    count: int  # conversations
    rate: float  # conversations a second
    block_size: int  # tokens

    def compare(self, samples: int, seed: int) -> list[dict[str, Any]]:
        """A row for each mode, metric and definition, as COLUMNS; bands over `samples` random samples.

        seed draws the arrivals of the first conversations; seed + 1, seed + 2, … draw the samples and theirs.
        """
        point = self._figures("first", seed)
        seeds = console.progress(range(seed + 1, seed + 1 + samples), desc="samples", total=samples)
        sampled = [self._figures("random", number) for number in seeds]
        rows = [
            self._row(
                mode, metric, definition, value, [figures[mode, metric, definition] for figures in sampled]
            )
            for (mode, metric, definition), value in point.items()
        ]
        for _, group in itertools.groupby(rows, key=lambda row: (row["mode"], row["metric"])):
            min(group, key=lambda row: abs(row["difference"]))["fits"] = True
        return rows

    def _figures(self, order: str, seed: int) -> dict[tuple[str, str, Definition], float]:
        found = {}
        for mode in REFERENCE_RUN:
            workload = Workload(
                mode=mode,
                selection=Selection(self.count, order, "user"),
                arrivals=Arrivals(self.rate, 0.0, "fixed"),
                priorities=((0, 1.0),),
                context=1,
                over_context="keep",
                seed=seed,
            )
            trace, _ = workload.build(self.streams)
            for policy, variant in openings(trace, self.default_system_prompt):
                for level, metric, short, value in _measure(variant, self.block_size):
                    found[mode, metric, Definition(level, policy, short)] = value
        # Definitions of one metric together, for grouping.
        return dict(sorted(found.items(), key=lambda item: (item[0][0], list(UNITS).index(item[0][1]))))

    def _row(
        self, mode: str, metric: str, definition: Definition, value: float, sampled: Sequence[float]
    ) -> dict[str, Any]:
        published = REFERENCE_RUN[mode][metric]
        band = Distribution.of(np.array(sampled))
        low, high = band.percentile(0), band.percentile(100)
        values = (
            *(mode, metric, UNITS[metric], *definition, definition.describe(self.block_size), published),
            *(
                value,
                value - published,
                low,
                band.percentile(10),
                band.percentile(50),
                band.percentile(90),
                high,
            ),
            *(low <= published <= high if sampled else None, False),
        )
        return dict(zip(COLUMNS, values, strict=True))


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
    """The one reading that comes closest to both modes' sharing, reuse rate and mean hits together.

    That is the one with the least mean of |difference| / published over those eight figures.
    """
    compared = ("sharing_mean", "sharing_median", "block_reuse_rate", "block_hits_mean")
    distances: dict[Definition, list[float]] = {}
    for level, opening, short in sorted(
        {(row["level"], row["opening"], row["short_prompts"]) for row in rows}
    ):
        if short:
            distances[Definition(level, opening, short)] = [
                abs(row["difference"]) / row["published"]
                for row in rows
                if (row["level"], row["opening"]) == (level, opening)
                and row["short_prompts"] in ("", short)
                and row["metric"] in compared
            ]
    best = min(distances, key=lambda definition: math.fsum(distances[definition]))
    return {
        **best._asdict(),
        "definition": best.describe(block_size),
        "mean_relative_difference": math.fsum(distances[best]) / len(distances[best]),
    }


def conversations_used(reference: Reference) -> dict[str, Any]:
    """How many conversations there were to compare with, in words and numbers."""
    eligible = int((reference.streams.first_role == "user").sum())
    used = min(reference.count, eligible)
    statement = f"the first {used} of {eligible} conversations that begin with a user message"
    if used < reference.count:
        statement += f" (the published run had {reference.count}; every sample is these, in another order)"
    return {"asked": reference.count, "eligible": eligible, "used": used, "statement": statement}


NOTES = (
    "Prompts longer than a model's context are kept, as no model runs.",
    "A band is the least, 10th percentile, median, 90th percentile and greatest of the random samples.",
    "The published reuse gaps cannot be on the trace's clock: at 2 arrivals/s the blocks that two "
    "conversations share lie seconds to minutes apart, so a mean of 0.01 s was not taken from arrival times.",
)
