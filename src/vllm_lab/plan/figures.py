"""The runs of a test as points, a panel for each group of metrics."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, MaxNLocator

from vllm_lab.common import figures
from vllm_lab.plan.tests import Panel, find


def draw(document: dict[str, Any], stem: Path) -> None:
    """The figure of a test's document, or one that says that the test was not run.

    A test that the plan does not have shows its headline.
    """
    if document["status"] == "not_run":
        figures.message(stem, "not run: the document says why")
        return
    test = find(document["test_id"])
    if test is not None and test.x == "devices":
        _over_devices(document, stem)
        return
    headline = document["verification"]["metric"]
    panels = (test.panels if test else ()) or (Panel(headline, {headline: headline.replace("_", " ")}),)
    with figures.figure(stem, 2.8, 1, len(panels)) as all_axes:
        for axes, (label, metrics) in zip(all_axes, panels, strict=True):
            _panel(axes, document, metrics)
            axes.set(xlabel="run", ylabel=label, ylim=(0, None))
            axes.legend(loc="best")


def _over_devices(document: dict[str, Any], stem: Path) -> None:
    """Throughput and efficiency over the number of devices: each run a point, lines through the means."""
    found = {
        count: document["results"][f"throughput_{count}"]["value"]
        for count in document["parameters"]["devices"]
        if f"throughput_{count}" in document["results"]
    }
    counts = list(found)
    with figures.figure(stem, 2.8, 1, 2) as (left, right):
        ideal = [count * found[1] for count in counts]
        left.plot(counts, ideal, color="#555555", linewidth=0.8, label="ideal")
        left.plot(counts, list(found.values()), color=figures.PALETTE[0], label="measured")
        _run_points(left, document, {count: f"throughput_{count}" for count in counts}, figures.PALETTE[0])
        left.set(ylabel="tokens/s")
        left.legend(loc="best")
        several = {count: f"efficiency_{count}_pct" for count in counts[1:]}
        means = [100.0, *(document["results"][name]["value"] for name in several.values())]
        right.plot(counts, means, color=figures.PALETTE[1])
        _run_points(right, document, several, figures.PALETTE[1])
        right.set(ylabel="efficiency (%)")
        for axes in (left, right):
            axes.set(xlabel="devices", ylim=(0, None))
            axes.xaxis.set_major_locator(FixedLocator(counts))


def _run_points(axes: Axes, document: dict[str, Any], metrics: Mapping[int, str], colour: str) -> None:
    """A point for each run that counts. `metrics`: number of devices -> metric."""
    runs = [run["values"] for run in document["runs"] if run["used"]]
    points = [(count, values[name]) for count, name in metrics.items() for values in runs]
    axes.plot(*zip(*points, strict=True), "o", color=colour, markersize=4, alpha=0.6)


def _panel(axes: Axes, document: dict[str, Any], metrics: Mapping[str, str]) -> None:
    """A point for each run, hollow where the run does not count, and a line at each mean."""
    for (name, legend), colour in zip(metrics.items(), figures.PALETTE, strict=False):
        runs = [run for run in document["runs"] if name in run["values"]]
        for used in (True, False):
            points = [(run["run"], run["values"][name]) for run in runs if run["used"] == used]
            x, y = zip(*points, strict=True) if points else ((), ())
            face = colour if used else "none"
            axes.plot(x, y, "o", color=colour, markerfacecolor=face, label=legend if used else None)
        if name in document["results"]:
            axes.axhline(document["results"][name]["value"], color=colour, linewidth=0.8)
    axes.margins(x=0.1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
