"""The runs of a test as points, a panel for each group of metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, MaxNLocator

from vllm_lab.common import figures
from vllm_lab.measure.document import SHAREGPT
from vllm_lab.plan.pairs import PAIRS

Panel = tuple[str, dict[str, str]]  # axis label, {metric: legend}
PANELS: dict[str, tuple[Panel, ...]] = {
    "throughput": (
        ("tokens/s", {"prefill_throughput": "prefill", "total_token_throughput": "all, whole run"}),
        ("tokens/s", {"decode_throughput": "decode", "end_to_end_throughput": "output, whole run"}),
    ),
    "latency": (
        ("TTFT (ms)", {"first_token_latency_ms": "alone", "loaded_first_token_latency_p50_ms": "loaded"}),
        (
            "TPOT (ms)",
            {"time_per_output_token_ms": "alone", "loaded_time_per_output_token_p50_ms": "loaded"},
        ),
    ),
    "memory": (
        (
            "GB",
            {
                "model_weight_memory_gb": "weights",
                "kv_cache_memory_gb": "KV cache",
                "activation_memory_gb": "activations",
                "total_peak_memory_gb": "peak",
            },
        ),
    ),
    "prefix_cache": (
        ("total time (s)", {"off_total_time": "off", "on_total_time": "on"}),
        ("speedup (×)", {"actual_speedup_ratio": "off / on"}),
    ),
}  # fmt: skip

PANELS["single_device"] = PANELS["throughput"]
SCALING = ("strong_scaling", "weak_scaling")


def draw(document: dict[str, Any], stem: Path) -> None:
    """The figure of a test's document, or one that says that it was not run."""
    if document["status"] == "not_run":
        with figures.figure(stem, 0.6) as (axes,):
            axes.set_axis_off()
            axes.text(0.5, 0.5, "not run: the document says why", ha="center", va="center")
        return
    test = document["test_id"].removesuffix(f"_{SHAREGPT}")
    if test in SCALING:
        _over_devices(document, stem)
        return
    panels = PANELS.get(test) or _pair_panels(test)
    with figures.figure(stem, 2.8, 1, len(panels)) as all_axes:
        for axes, (label, metrics) in zip(all_axes, panels, strict=True):
            _panel(axes, document, metrics)
            axes.set(xlabel="run", ylabel=label, ylim=(0, None))
            axes.legend(loc="best")


def _over_devices(document: dict[str, Any], stem: Path) -> None:
    """Throughput and efficiency over the number of devices, every run a point, lines through the means."""
    found = {
        count: document["results"][f"throughput_{count}"]["value"]
        for count in document["parameters"]["devices"]
        if f"throughput_{count}" in document["results"]
    }
    counts = list(found)
    with figures.figure(stem, 2.8, 1, 2) as (left, right):
        left.plot(
            counts, [count * found[1] for count in counts], color="#555555", linewidth=0.8, label="ideal"
        )
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


def _run_points(axes: Axes, document: dict[str, Any], metrics: dict[int, str], colour: str) -> None:
    points = [
        (x, run["values"][name]) for x, name in metrics.items() for run in document["runs"] if run["used"]
    ]
    axes.plot(*zip(*points, strict=True), "o", color=colour, markersize=4, alpha=0.6)


def _pair_panels(test: str) -> tuple[Panel, ...]:
    pair = PAIRS[test]
    sides = (pair.without[0], pair.with_[0])
    return tuple(
        (label, {f"{side}_{metric}": side.replace("_", " ") for side in sides})
        for metric, label in (("total_time", "total time (s)"), ("decode_step_ms", "decode step (ms)"))
    )


def _panel(axes: Axes, document: dict[str, Any], metrics: dict[str, str]) -> None:
    for (name, legend), colour in zip(metrics.items(), figures.PALETTE, strict=False):
        runs: Sequence[dict[str, Any]] = [run for run in document["runs"] if name in run["values"]]
        for used in (True, False):
            points = [(run["run"], run["values"][name]) for run in runs if run["used"] == used]
            x, y = zip(*points, strict=True) if points else ((), ())
            face = colour if used else "none"
            axes.plot(x, y, "o", color=colour, markerfacecolor=face, label=legend if used else None)
        if name in document["results"]:
            axes.axhline(document["results"][name]["value"], color=colour, linewidth=0.8)
    axes.margins(x=0.1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
