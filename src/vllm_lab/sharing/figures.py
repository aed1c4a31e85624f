"""The figures of prefix sharing and of the cache sweeps, drawn from the tables that the rules write."""

import itertools
import math
import os
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from vllm_lab.common import figures
from vllm_lab.common.errors import LabError
from vllm_lab.common.files import read_json
from vllm_lab.common.metric import title_of
from vllm_lab.sharing.metrics import METRICS
from vllm_lab.sharing.policies import BOUND, POLICIES, policy_title

SHARES = {
    "sharing_fraction": "mean",
    "token_sharing_fraction": "mean",
    "requests_with_hit_fraction": "",
    "block_reuse_rate": "",
    "saved_prefill_fraction": "",
    "saved_prefill_fraction_with_generated": "",
}
"""The bars of the comparison: each metric, and the statistic that is shown of a distribution."""

COLOURS = ("#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#000000", "#009E73", "#CC79A7", "#7A3E8E")
LINES = ("-", "--", "-.", "--", "-", "-", "-.", ":")
"""Of the policies: seven of Okabe and Ito's colours that are visible on white, and a dark purple."""

USED = (
    ("sharing_fraction", "token_sharing_fraction"),
    ("hits",),
    ("gap_s", "count"),
    ("time_s", "window_s", "blocks", "kv_bytes"),
)
"""The columns that are read of the tables of requests, blocks, gaps and working set."""


@dataclass(frozen=True, eq=False)
class TraceTables:
    """The statistics and tables of one trace, as read from its files."""

    label: str  # its name in a legend
    stats: dict[str, Any]
    requests: pd.DataFrame
    blocks: pd.DataFrame
    gaps: pd.DataFrame
    working_set: pd.DataFrame

    @classmethod
    def read(cls, name: str, stats: str, *tables: str) -> Self:
        """Read the statistics and the four tables. LabError names a file or column that is missing."""
        read = [_read(path, columns, "sharing_analysis") for path, columns in zip(tables, USED, strict=True)]
        return cls(name.replace("_", " "), read_json(stats), *read)


def read_hit_rates(path: str | os.PathLike) -> pd.DataFrame:
    """The table of all sweeps, with a hit rate of 0 where a trace has no full block.

    LabError names a file or column that is missing.
    """
    columns = ["trace", "block_size", "policy", "capacity_tokens", "hit_rate"]
    return _read(path, columns, "sharing_sweep_table").fillna({"hit_rate": 0.0})


def sharing_fraction_cdf(traces: Sequence[TraceTables], stem: Path) -> None:
    """Requests by the share of their prompt that an earlier prompt also has, in blocks and in tokens."""
    with figures.figure(stem, 3.6) as (axes,):
        for trace, colour, _ in _styled(traces):
            blocks = f"blocks of {trace.stats['block_size']}"
            levels = (("sharing_fraction", blocks, "-"), ("token_sharing_fraction", "tokens", "--"))
            for column, level, line in levels:
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
        for trace, colour, line in _styled(traces):
            hits, blocks = np.unique(trace.blocks["hits"].to_numpy(), return_counts=True)
            if len(hits):
                at_least = np.cumsum(blocks[::-1])[::-1] / blocks.sum()
                axes.step(hits, at_least, where="pre", color=colour, linestyle=line, label=trace.label)
                axes.plot(hits[-1:], at_least[-1:], "o", color=colour, markersize=4)
        axes.set(xscale="log", yscale="log")
        axes.set(xlabel="accesses of a block", ylabel="distinct blocks with at least as many")
        axes.xaxis.set_major_formatter(lambda value, _: figures.short_count(value))
        figures.percent(axes.yaxis)
        axes.legend()


def reuse_gap_cdf(traces: Sequence[TraceTables], stem: Path) -> None:
    """Reuses by the time since the last access of the block; reuses at the same moment begin the curve."""
    with figures.figure(stem, 3.6) as (axes,):
        positive = [trace.gaps["gap_s"][trace.gaps["gap_s"] > 0] for trace in traces]
        shortest = min((gaps.min() for gaps in positive if len(gaps)), default=1.0)
        left = 10 ** math.floor(math.log10(max(shortest, 1e-3)))
        for trace, colour, line in _styled(traces):
            if len(trace.gaps):
                gap = trace.gaps["gap_s"].to_numpy()
                below = np.cumsum(trace.gaps["count"].to_numpy()) / trace.gaps["count"].sum()
                label = trace.label
                if gap[0] == 0 and below[0] >= 0.0005:
                    label += f" ({below[0]:.1%} at 0 s)"
                x, y = np.append(left, np.maximum(gap, left)), np.append(0, below)
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
        for number, (trace, colour, _) in enumerate(_styled(chosen)):
            shares = [_share(trace.stats["metrics"], *bar) for bar in SHARES.items()]
            at = np.arange(len(SHARES)) - 0.4 + height * (number + 0.5)
            bars = axes.barh(at, shares, height, color=colour, label=trace.label)
            axes.bar_label(bars, [f"{share:.1%}" for share in shares], padding=3, fontsize=8)
        titles = [title_of(name, METRICS[name]) + (point and f", {point}") for name, point in SHARES.items()]
        axes.set_yticks(range(len(SHARES)), [textwrap.fill(title, 24) for title in titles])
        axes.invert_yaxis()
        axes.set(xlim=(0, 1.08), xticks=np.linspace(0, 1, 6))
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        figures.percent(axes.xaxis)
        figures.legend_below(axes, 4)


def working_set(traces: Sequence[TraceTables], stem: Path) -> None:
    """Memory for the blocks accessed within a window of time, over time, with a panel for each trace."""
    with _grid(stem, len(traces), 0.6, 2.4) as panels:
        for trace, axes in zip(traces, panels, strict=True):
            table, known = trace.working_set, trace.working_set["kv_bytes"].notna().all()
            for (window, lines), colour, line in _styled(table.groupby("window_s")):
                size = lines["kv_bytes"] / 2**30 if known else lines["blocks"] / 1000
                label = "since the start" if math.isinf(window) else f"last {window:g} s"
                axes.plot(lines["time_s"] / 60, size, color=colour, linestyle=line, label=label)
            axes.set(title=trace.label, xlabel="time (min)", xlim=(0, None), ylim=(0, None))
            axes.set_ylabel("KV cache (GiB)" if known else "thousand blocks")
        figures.legend_below(panels[0], 4)


def hit_rate_curves(rates: pd.DataFrame, stem: Path) -> None:
    """Hit rate against capacity, a line for each policy, a panel for each trace and block size."""
    styles = policy_styles(rates["policy"])
    parts = rates.groupby(["trace", "block_size"], sort=False)
    with _grid(stem, len(parts), 0.7, 2.1) as panels:
        for ((trace, size), part), axes in zip(parts, panels, strict=True):
            for policy, curve in part.groupby("policy", sort=False):
                colour, line = styles[policy]
                bounded, label = curve[np.isfinite(curve["capacity_tokens"])], policy_title(policy)
                axes.plot("capacity_tokens", "hit_rate", line, data=bounded, color=colour, label=label)
                if policy == BOUND:
                    most, dots = curve["hit_rate"].iloc[-1], (0, (1, 2))
                    axes.axhline(most, color="#888888", linestyle=dots, linewidth=1.2, label="unbounded")
            axes.set_title(f"{trace.replace('_', ' ')}, blocks of {size}", loc="left")
            axes.set(xscale="log", ylim=(0, None))
            axes.set(xlabel="capacity (tokens)", ylabel="block hit rate")
            axes.xaxis.set_major_formatter(lambda value, _: figures.short_count(value))
            figures.percent(axes.yaxis)
        figures.legend_below(panels[0], 5)


def hit_rate_heatmap(rates: pd.DataFrame, block_size: int, stem: Path) -> None:
    """Hit rate of each policy at each capacity in per cent, with a panel for each trace.

    The block size is `block_size`, or the only one that a trace of blocks has. LabError if it was not swept.
    """
    only = rates.groupby("trace")["block_size"].transform("nunique") == 1
    shown = rates[only | (rates["block_size"] == block_size)]
    if shown.empty:
        raise LabError(f"no sweep has block size {block_size}; add it to the sweep's block sizes")
    parts = shown.groupby("trace", sort=False)
    height = (0.75 + 0.21 * int(parts["policy"].nunique().max())) * len(parts)
    with figures.figure(stem, height, len(parts)) as panels:
        for (trace, part), axes in zip(parts, panels, strict=True):
            _draw_heatmap(axes, part)
            size = part["block_size"].iloc[0]
            axes.set_title(f"{trace.replace('_', ' ')}, blocks of {size}: block hit rate (%)", loc="left")
        panels[-1].set_xlabel("capacity (tokens)")


def _draw_heatmap(axes: Axes, part: pd.DataFrame) -> None:
    """One trace at one block size: a row for each policy, a column for each capacity."""
    curves = dict(iter(part.groupby("policy", sort=False)))
    rates = np.array([curve["hit_rate"] for curve in curves.values()])
    highest = rates.max() or 1.0
    axes.imshow(rates, cmap="cividis", vmin=0, vmax=highest, aspect="auto")
    for (y, x), rate in np.ndenumerate(rates):
        colour = "white" if rate < 0.55 * highest else "black"
        axes.text(x, y, f"{100 * rate:.1f}", ha="center", va="center", fontsize=7, color=colour)
    capacities = next(iter(curves.values()))["capacity_tokens"]
    counts = ["∞" if math.isinf(value) else figures.short_count(value) for value in capacities]
    axes.set_xticks(range(len(counts)), counts)
    axes.set_yticks(range(len(curves)), [policy_title(policy) for policy in curves])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def policy_styles(policies: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Policy -> colour and line, by its position in POLICIES; policies that are not there come after them."""
    names, size = dict.fromkeys((*POLICIES, *policies)), len(COLOURS)
    return {name: (COLOURS[at % size], LINES[(at + at // size) % size]) for at, name in enumerate(names)}


def _styled(items: Iterable[Any]) -> Iterator[tuple[Any, str, Any]]:
    """Each item with a colour and a line. After eight items both begin again."""
    return zip(items, itertools.cycle(figures.PALETTE), itertools.cycle(figures.LINES), strict=False)


@contextmanager
def _grid(stem: Path, count: int, base: float, height: float) -> Iterator[list[Axes]]:
    """Yield `count` panels in rows of up to three; each row adds `height` inches to the `base`."""
    columns = min(3, count)
    rows = -(-count // columns)
    with figures.figure(stem, base + height * rows, rows, columns) as panels:
        for unused in panels[count:]:
            unused.remove()
        yield panels[:count]


def _share(metrics: dict[str, Any], name: str, point: str) -> float:
    """The length of a bar: a metric of the statistics, or 0 where it is unknown."""
    value = metrics[name]
    return (value[point] if point and value else value) or 0.0


def _read(path: str | os.PathLike, columns: Sequence[str], rule: str) -> pd.DataFrame:
    """Columns of a CSV file that `rule` makes. LabError if the file or one of them is missing."""
    try:
        return pd.read_csv(path, usecols=list(columns))
    except FileNotFoundError as error:
        raise LabError(f"{path}: no such file; run the rule {rule}") from error
    except ValueError as error:
        raise LabError(f"{path}: {error}; run the rule {rule} again") from error
