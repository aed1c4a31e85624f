"""Predicted against measured, for steps and for requests."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from mini_vllm.clock import kind_of_step
from vllm_lab.common import figures

Row = dict[str, str]  # of a CSV
MARKERS = {"decode": "o", "prefill": "s", "mixed": "^"}
METRICS = ("ttft", "tpot", "e2e")


def steps_figure(rows: Sequence[Row], stem: Path) -> None:
    """Draw each step's duration: one panel for the steps used in the fit, one for held-out requests."""
    panels = (("fitted", "steps used in the fit"), ("heldout", "steps of held-out requests"))
    with figures.figure(stem, 3.6, 1, 2) as all_axes:
        for (name, title), axes in zip(panels, all_axes, strict=True):
            for (kind, marker), colour in zip(MARKERS.items(), figures.PALETTE, strict=False):
                points = [
                    (float(row["seconds"]), float(row["predicted_seconds"]))
                    for row in rows
                    if (row["set"], _kind(row)) == (name, kind)
                ]
                _scatter(axes, points, kind, marker, colour)
            _diagonal(axes, "step", title)
        figures.legend_below(all_axes[0], 3)


def requests_figure(rows: Sequence[Row], stem: Path) -> None:
    """Draw TTFT, TPOT and E2E of every held-out request: one panel for each."""
    with figures.figure(stem, 2.8, 1, len(METRICS)) as all_axes:
        for metric, axes, colour in zip(METRICS, all_axes, figures.PALETTE, strict=False):
            points = [(float(row[metric]), float(row[f"predicted_{metric}"])) for row in rows if row[metric]]
            _scatter(axes, points, metric, "o", colour)
            _diagonal(axes, metric.upper(), metric.upper())


def _kind(row: Row) -> str:
    return kind_of_step(int(row["prefill_tokens"]), int(row["decode_tokens"]))


def _scatter(axes: Axes, points: Sequence[tuple[float, float]], label: str, marker: str, colour: str) -> None:
    measured, predicted = zip(*points, strict=True) if points else ((), ())
    axes.plot(
        measured, predicted, marker, color=colour, label=label, markersize=3, alpha=0.5, linestyle="none"
    )


def _diagonal(axes: Axes, noun: str, title: str) -> None:
    """Draw the line on which prediction and measurement are equal, as long as the points reach."""
    data = axes.dataLim
    ends = (min(data.x0, data.y0), max(data.x1, data.y1))
    axes.plot(ends, ends, color="#555555", linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlabel=f"measured {noun} (s)", ylabel=f"predicted {noun} (s)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", rotation=45)
    axes.set_title(title, loc="left")
