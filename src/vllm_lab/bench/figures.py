"""The runs of a test as points, a panel for each group of metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from vllm_lab import figures
from vllm_lab.bench.pairs import PAIRS

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


def draw(document: dict[str, Any], stem: Path) -> None:
    """The figure of a test's document, or one that says that it was not run."""
    if document["status"] == "not_run":
        with figures.figure(stem, 0.6) as (axes,):
            axes.set_axis_off()
            axes.text(0.5, 0.5, "not run: the document says why", ha="center", va="center")
        return
    panels = PANELS.get(document["test_id"]) or _pair_panels(document["test_id"])
    with figures.figure(stem, 2.8, 1, len(panels)) as all_axes:
        for axes, (label, metrics) in zip(all_axes, panels, strict=True):
            _panel(axes, document, metrics)
            axes.set(xlabel="run", ylabel=label, ylim=(0, None))
            axes.legend(loc="best")


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
