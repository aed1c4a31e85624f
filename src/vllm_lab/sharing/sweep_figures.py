"""The figures of the cache sweeps, drawn from hit_rates.csv."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from vllm_lab.common import figures
from vllm_lab.common.errors import LabError
from vllm_lab.sharing.policies import BOUND, POLICIES, policy_title
from vllm_lab.sharing.tables import Row

COLOURS = ("#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#000000", "#009E73", "#CC79A7", "#7A3E8E")
LINES = ("-", "--", "-.", "--", "-", "-", "-.", ":")
"""Seven of Okabe and Ito's colours that are visible on white, and a dark purple, each with its line."""


def hit_rate_curves(rows: Sequence[Row], stem: Path) -> None:
    """Hit rate against capacity, a line for each policy, a panel for each trace and block size."""
    panels = _grouped(rows, "trace", "block_size")
    styles = _styles(rows)
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    with figures.figure(stem, 0.7 + 2.1 * lines, lines, columns) as all_axes:
        for ((trace, size), part), axes in zip(panels.items(), all_axes, strict=False):
            for (policy,), curve in _grouped(part, "policy").items():
                _draw_curve(axes, policy, styles[policy], curve)
            axes.set_title(f"{trace.replace('_', ' ')}, blocks of {size}", loc="left")
            axes.set(xscale="log", ylim=(0, None))
            axes.set(xlabel="capacity (tokens)", ylabel="block hit rate")
            axes.xaxis.set_major_formatter(lambda value, _: figures.short_count(value))
            figures.percent(axes.yaxis)
        for axes in all_axes[len(panels) :]:
            axes.remove()
        figures.legend_below(all_axes[0], 5)


def hit_rate_heatmap(rows: Sequence[Row], block_size: int, stem: Path) -> None:
    """Hit rate of each policy at each capacity in per cent, with a panel for each trace.

    The block size is `block_size`, or the only one that a trace of blocks has. LabError if it was not swept.
    """
    panels = {
        trace: part
        for (trace, size), part in _grouped(rows, "trace", "block_size").items()
        if int(size) == block_size or len({row["block_size"] for row in rows if row["trace"] == trace}) == 1
    }
    if not panels:
        raise LabError(f"no sweep has block size {block_size}; add it to the sweep's block sizes")
    policies = max(len(_grouped(part, "policy")) for part in panels.values())
    with figures.figure(stem, (0.75 + 0.21 * policies) * len(panels), len(panels)) as all_axes:
        for (trace, part), axes in zip(panels.items(), all_axes, strict=True):
            _draw_heatmap(axes, part)
            title = f"{trace.replace('_', ' ')}, blocks of {part[0]['block_size']}: block hit rate (%)"
            axes.set_title(title, loc="left")
        all_axes[-1].set_xlabel("capacity (tokens)")


def _styles(rows: Sequence[Row]) -> dict[str, tuple[str, str]]:
    """Policy -> colour and line, by its position in POLICIES; policies that are not there come after them."""
    names = dict.fromkeys((*POLICIES, *(row["policy"] for row in rows)))
    size = len(COLOURS)
    return {name: (COLOURS[at % size], LINES[(at + at // size) % size]) for at, name in enumerate(names)}


def _draw_curve(axes: Axes, policy: str, style: tuple[str, str], curve: Sequence[Row]) -> None:
    bounded = [row for row in curve if math.isfinite(float(row["capacity_tokens"]))]
    colour, line = style
    axes.plot(
        [float(row["capacity_tokens"]) for row in bounded],
        [float(row["hit_rate"] or 0) for row in bounded],
        color=colour,
        linestyle=line,
        label=policy_title(policy),
    )
    if policy == BOUND:
        unbounded = float(curve[-1]["hit_rate"] or 0)
        axes.axhline(unbounded, color="#888888", linestyle=(0, (1, 2)), linewidth=1.2, label="unbounded")


def _draw_heatmap(axes: Axes, rows: Sequence[Row]) -> None:
    curves = {policy: curve for (policy,), curve in _grouped(rows, "policy").items()}
    rates = [[float(row["hit_rate"] or 0) for row in curve] for curve in curves.values()]
    highest = max(max(line) for line in rates) or 1.0
    axes.imshow(rates, cmap="cividis", vmin=0, vmax=highest, aspect="auto")
    for y, line in enumerate(rates):
        for x, rate in enumerate(line):
            dark = rate < 0.55 * highest
            axes.text(
                x,
                y,
                f"{100 * rate:.1f}",
                ha="center",
                va="center",
                fontsize=7,
                color="white" if dark else "black",
            )
    capacities = [float(row["capacity_tokens"]) for row in next(iter(curves.values()))]
    axes.set_xticks(
        range(len(capacities)),
        ["∞" if math.isinf(value) else figures.short_count(value) for value in capacities],
    )
    axes.set_yticks(range(len(curves)), [policy_title(policy) for policy in curves])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _grouped(rows: Sequence[Row], *columns: str) -> dict[tuple[str, ...], list[Row]]:
    groups = defaultdict(list)
    for row in rows:
        groups[tuple(row[column] for column in columns)].append(row)
    return dict(groups)
