"""Latency, throughput and goodput over the arrival rate."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from vllm_lab.common import figures

LATENCIES = {"ttft": "TTFT", "tpot": "TPOT", "e2e": "E2E"}
PERCENTILES = {"p50": "median", "p90": "90th percentile"}
RATES = {"request_throughput": "answered", "goodput": "within all limits"}


def latency_over_rate(document: Mapping[str, Any], stem: Path) -> None:
    """Draw a panel for each latency and one for requests per second, over the arrival rate.

    Lines go through the medians; each point is one replay. Latency turns up in the grey range.
    """
    if not document["rates"]:
        figures.message(stem, "nothing to draw: load.json contains the reason")
        return
    with figures.figure(stem, 5.4, 2, 2) as all_axes:
        for (metric, title), axes in zip(LATENCIES.items(), all_axes, strict=False):
            _lines(axes, document, {f"{metric}_{name}": words for name, words in PERCENTILES.items()})
            predicted = [row["predicted"][f"{metric}_p50"] for row in document["rates"]]
            if all(value is not None for value in predicted):
                axes.plot(_rates(document), predicted, ":", color="#555555", label="median, simulated")
            limit = document["parameters"][f"limit_{metric}"]
            axes.axhline(limit, color="#555555", linewidth=0.8, linestyle=(0, (5, 5)), label="limit")
            axes.set(ylabel=f"{title} (s)", ylim=(0, None))
        last = all_axes[-1]
        _lines(last, document, RATES, first_colour=2)
        last.plot(_rates(document), _rates(document), color="#555555", linewidth=0.8, label="asked")
        last.set(ylabel="requests per second", ylim=(0, None))
        for axes in all_axes:
            _over_rates(axes, document)
        all_axes[0].legend(loc="upper left", fontsize=8)
        last.legend(loc="upper left", fontsize=8)


def _rates(document: Mapping[str, Any]) -> list[float]:
    return [row["rate"] for row in document["rates"]]


def _lines(
    axes: Axes, document: Mapping[str, Any], metrics: Mapping[str, str], first_colour: int = 0
) -> None:
    for number, (metric, label) in enumerate(metrics.items()):
        colour, style = figures.PALETTE[first_colour + number], figures.LINES[number]
        medians = [row["metrics"][metric] for row in document["rates"]]
        axes.plot(_rates(document), medians, linestyle=style, color=colour, label=label)
        axes.plot(*_points(document["runs"], metric), "o", color=colour, markersize=3, alpha=0.6)


def _points(runs: Sequence[Mapping[str, Any]], metric: str) -> tuple[list[float], list[float]]:
    """The rates and values of the replays that have a value."""
    known = [run for run in runs if run["metrics"] and run["metrics"][metric] is not None]
    return [run["rate"] for run in known], [run["metrics"][metric] for run in known]


def _over_rates(axes: Axes, document: Mapping[str, Any]) -> None:
    axes.set(xscale="log", xlabel="requests sent per second")
    axes.xaxis.set_major_locator(FixedLocator(_rates(document)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    turn = document["turn"]
    if turn["last_rate_before"]:
        axes.axvspan(turn["last_rate_before"], turn["first_rate_after"], color="#eeeeee", zorder=0)
