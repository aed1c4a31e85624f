"""The figures of prefix sharing, drawn from the tables that scripts/sharing_analysis.py writes."""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vllm_lab.common import figures
from vllm_lab.common.errors import LabError
from vllm_lab.common.files import read_json
from vllm_lab.sharing.metrics import METRICS

SHARES = {
    "sharing_fraction": "mean",
    "token_sharing_fraction": "mean",
    "requests_with_hit_fraction": "",
    "block_reuse_rate": "",
    "saved_prefill_fraction": "",
    "saved_prefill_fraction_with_generated": "",
}
"""The bars of the comparison: each metric, and the statistic that is shown of a distribution."""


@dataclass(frozen=True, eq=False)
class TraceTables:
    """The statistics and tables of one trace, as read from its files."""

    name: str
    stats: dict[str, Any]
    requests: pd.DataFrame
    blocks: pd.DataFrame
    gaps: pd.DataFrame
    working_set: pd.DataFrame

    @classmethod
    def read(
        cls, name: str, stats: str, requests: str, blocks: str, gaps: str, working_set: str
    ) -> TraceTables:
        """Read the five files. LabError names a file or column that is missing."""
        return cls(
            name,
            read_json(stats),
            _read(requests, ["sharing_fraction", "token_sharing_fraction"]),
            _read(blocks, ["hits"]),
            _read(gaps, ["gap_s", "count"]),
            _read(working_set, ["time_s", "window_s", "blocks", "kv_bytes"]),
        )

    @property
    def label(self) -> str:
        """The name of the trace in a legend."""
        return self.name.replace("_", " ")


def draw_all(traces: Sequence[TraceTables], outdir: Path) -> None:
    """Write every figure as PNG and SVG."""
    sharing_fraction_cdf(traces, outdir / "sharing_fraction_cdf")
    block_hit_distribution(traces, outdir / "block_hit_distribution")
    reuse_gap_cdf(traces, outdir / "reuse_gap_cdf")
    comparison(traces, outdir / "comparison")
    working_set(traces, outdir / "working_set")


def sharing_fraction_cdf(traces: Sequence[TraceTables], stem: Path) -> None:
    """Requests by the share of their prompt that an earlier prompt also has, in blocks and in tokens."""
    with figures.figure(stem, 3.6) as (axes,):
        for trace, colour in zip(traces, figures.PALETTE, strict=False):
            size = trace.stats["block_size"]
            for column, level, line in (
                ("sharing_fraction", f"blocks of {size}", "-"),
                ("token_sharing_fraction", "tokens", "--"),
            ):
                values = np.sort(trace.requests[column].dropna())
                if len(values):
                    below = np.arange(1, len(values) + 1) / len(values)
                    x, y = np.append(0, values), np.append(0, below)
                    axes.step(x, y, line, where="post", color=colour, label=f"{trace.label}, {level}")
        axes.set(xlabel="share of the prompt that an earlier prompt has", ylabel="requests at or below")
        axes.set(xlim=(-0.01, 1.01), ylim=(0, 1.01))
        figures.percent(axes.xaxis)
        figures.percent(axes.yaxis)
        axes.legend(loc="lower right")


def block_hit_distribution(traces: Sequence[TraceTables], stem: Path) -> None:
    """Distinct blocks by their number of accesses: the share of blocks with at least that many."""
    with figures.figure(stem, 3.6) as (axes,):
        for trace, colour, line in zip(traces, figures.PALETTE, figures.LINES, strict=False):
            hits, blocks = np.unique(trace.blocks["hits"].to_numpy(), return_counts=True)
            if len(hits):
                at_least = np.cumsum(blocks[::-1])[::-1] / blocks.sum()
                axes.step(hits, at_least, where="pre", color=colour, linestyle=line, label=trace.label)
                axes.plot(hits[-1:], at_least[-1:], "o", color=colour, markersize=4)
        axes.set(
            xscale="log",
            yscale="log",
            xlabel="accesses of a block",
            ylabel="distinct blocks with at least as many",
        )
        axes.xaxis.set_major_formatter(lambda value, _: figures.short_count(value))
        figures.percent(axes.yaxis)
        axes.legend()


def reuse_gap_cdf(traces: Sequence[TraceTables], stem: Path) -> None:
    """Reuses by the time since the last access of the block; reuses at the same moment begin the curve."""
    with figures.figure(stem, 3.6) as (axes,):
        positive = [trace.gaps["gap_s"][trace.gaps["gap_s"] > 0] for trace in traces]
        shortest = min((gaps.min() for gaps in positive if len(gaps)), default=1.0)
        left = 10 ** math.floor(math.log10(max(shortest, 1e-3)))
        for trace, colour, line in zip(traces, figures.PALETTE, figures.LINES, strict=False):
            if len(trace.gaps):
                gap = trace.gaps["gap_s"].to_numpy()
                below = np.cumsum(trace.gaps["count"].to_numpy()) / trace.gaps["count"].sum()
                label = trace.label
                if gap[0] == 0 and below[0] >= 0.0005:
                    label += f" ({below[0]:.1%} at 0 s)"
                x = np.concatenate([[left], np.maximum(gap, left)])
                y = np.concatenate([[0], below])
                axes.step(x, y, where="post", color=colour, linestyle=line, label=label)
        axes.set(xscale="log", xlim=(left, None), ylim=(0, 1.01))
        axes.set(xlabel="time since the block's previous access (s)", ylabel="reuses at or below")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        figures.percent(axes.yaxis)
        axes.legend(loc="lower right" if len(traces) < 2 else "best")


def comparison(traces: Sequence[TraceTables], stem: Path) -> None:
    """The main shares, with a bar for each trace of tokens."""
    chosen = [trace for trace in traces if trace.stats["unit"] == "token"]
    with figures.figure(stem, 0.9 + 0.28 * len(SHARES) * max(1, len(chosen))) as (axes,):
        height = 0.8 / max(1, len(chosen))
        for number, (trace, colour) in enumerate(zip(chosen, figures.PALETTE, strict=False)):
            shares = [_share(trace.stats["metrics"], *bar) for bar in SHARES.items()]
            at = np.arange(len(SHARES)) - 0.4 + height * (number + 0.5)
            bars = axes.barh(at, shares, height, color=colour, label=trace.label)
            axes.bar_label(bars, [f"{share:.1%}" for share in shares], padding=3, fontsize=8)
        titles = [", ".join(filter(None, (METRICS[name].title, point))) for name, point in SHARES.items()]
        axes.set_yticks(range(len(SHARES)), [textwrap.fill(title, 24) for title in titles])
        axes.invert_yaxis()
        axes.set(xlim=(0, 1.08), xticks=np.linspace(0, 1, 6))
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        figures.percent(axes.xaxis)
        figures.legend_below(axes, 4)


def working_set(traces: Sequence[TraceTables], stem: Path) -> None:
    """Memory for the blocks accessed within a window of time, over time, with a panel for each trace."""
    columns = min(3, len(traces))
    rows = -(-len(traces) // columns)
    with figures.figure(stem, 0.6 + 2.4 * rows, rows, columns) as panels:
        for trace, axes in zip(traces, panels, strict=False):
            table, known = trace.working_set, trace.working_set["kv_bytes"].notna().all()
            for (window, lines), colour, line in zip(
                table.groupby("window_s"), figures.PALETTE, figures.LINES, strict=False
            ):
                size = lines["kv_bytes"] / 2**30 if known else lines["blocks"] / 1000
                label = "since the start" if math.isinf(window) else f"last {window:g} s"
                axes.plot(lines["time_s"] / 60, size, color=colour, linestyle=line, label=label)
            axes.set(title=trace.label, xlabel="time (min)", xlim=(0, None), ylim=(0, None))
            axes.set_ylabel("KV cache (GiB)" if known else "thousand blocks")
        for axes in panels[len(traces) :]:
            axes.remove()
        figures.legend_below(panels[0], 4)


def _share(metrics: dict[str, Any], name: str, point: str) -> float:
    """The length of a bar: a metric of the statistics, or 0 where it is unknown."""
    value = metrics[name]
    return (value[point] if point and value else value) or 0.0


def _read(path: str | os.PathLike, columns: Sequence[str]) -> pd.DataFrame:
    try:
        return pd.read_csv(path, usecols=list(columns))
    except FileNotFoundError as error:
        raise LabError(f"{path}: no such file; run the rule sharing_analysis") from error
    except ValueError as error:
        raise LabError(f"{path}: {error}; run the rule sharing_analysis again") from error
