"""The figures of scheduling, drawn from the files of the replays and of their comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator

from mini_vllm.tools.versions import VERSIONS
from vllm_lab.common import figures
from vllm_lab.replay.metrics import TIMES
from vllm_lab.replay.records import ORACLES, Key, StoredRun
from vllm_lab.replay.timeline import HitRates, Timeline

Runs = Mapping[Key, StoredRun]
# The versions take these in turn, and all from the third on have the last width. If lines coincide, each is
# narrower than the one below it, so that all of them show.
COLOURS = ("#D55E00", "#E69F00", "#56B4E9", "#0072B2", "#009E73", "#CC79A7")
WIDTHS = (4.6, 3.4, 2.2)
PALE = {"#0072B2": "#56B4E9"}  # a colour's paler partner, if there is one


class Style(NamedTuple):
    """How an engine looks in every figure."""

    label: str
    colour: str
    line: str
    width: float

    @property
    def drawn(self) -> dict[str, Any]:
        """The arguments of a plot or an outline."""
        look = {"color": self.colour, "linestyle": self.line, "linewidth": self.width}
        return {**look, "label": self.label}


STYLES = {
    name: Style(name, COLOURS[place % len(COLOURS)], "-", WIDTHS[min(place, len(WIDTHS) - 1)])
    for place, name in enumerate(VERSIONS)
} | {
    ORACLES[False]: Style("vLLM without prefix cache", "#000000", ":", 1.0),
    ORACLES[True]: Style("vLLM with prefix cache", "#000000", "-", 0.8),
}
# In the histograms: vLLM with its prefix cache, and all versions but those that equal vLLM without one.
IN_HISTOGRAMS = (
    *(name for name, version in VERSIONS.items() if version.caches or not version.exact),
    ORACLES[True],
)
CACHING = (*(name for name, version in VERSIONS.items() if version.caches), ORACLES[True])
MEMORIES = ("ample", "scarce")
QUANTITIES = {"running": "requests running", "waiting": "requests waiting", "used_blocks": "blocks in use"}
WINDOWS = 150  # that the longest replay is cut into
HIT_WINDOWS = 40  # that the arrivals are cut into


def draw_all(
    runs: Runs,
    compared: Sequence[Mapping[str, Any]],
    trace: str,
    prompt_tokens: dict[str, int],
    outdir: Path,
) -> None:
    """Write every figure as PNG and SVG; engines that could not run are left out.

    compared: the `runs` of the comparison's document. trace: the one that is shown over time. prompt_tokens:
    the lengths of its prompts by request id.
    """
    ran = {key: run for key, run in runs.items() if run.ran}
    latency_histograms(ran, trace, outdir / "latency_histograms")
    running_waiting_blocks(ran, trace, outdir / "running_waiting_blocks")
    hit_rate_over_time(ran, trace, prompt_tokens, outdir / "hit_rate_over_time")
    divergence(compared, outdir / "divergence")


def latency_histograms(runs: Runs, trace: str, stem: Path) -> None:
    """Requests by TTFT, TPOT and E2E with scarce memory: outlines on one set of bins."""
    shown = {
        engine: runs[engine, trace, "scarce"].requests
        for engine in IN_HISTOGRAMS
        if (engine, trace, "scarce") in runs
    }
    with figures.figure(stem, 6.6, len(TIMES)) as panels:
        for axes, (name, words) in zip(panels, TIMES.items(), strict=True):
            samples = {
                engine: np.array([value for got in requests if (value := getattr(got, name))])
                for engine, requests in shown.items()
            }
            everything = np.concatenate(list(samples.values()))
            if len(everything):
                bins = np.geomspace(everything.min() * 0.999, everything.max() * 1.001, 61)
                for engine, sample in samples.items():
                    _outline(axes, engine, np.histogram(sample, bins)[0], bins)
            axes.set(xscale="log", xlabel=f"{name.upper()} (s): {words}", ylabel="requests", ylim=(0, None))
            if len(everything) and bins[-1] < 100 * bins[0]:
                axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.xaxis.set_minor_formatter("")
        figures.legend_below(panels[0], 4)


def running_waiting_blocks(runs: Runs, trace: str, stem: Path) -> None:
    """Requests running and waiting and blocks in use as time goes on, with ample and with scarce memory."""
    lines = {key: Timeline.of(run) for key, run in runs.items() if key[1] == trace}
    longest = max((line.end[-1] for line in lines.values() if len(line.end)), default=1.0)
    with figures.figure(stem, 6.2, len(QUANTITIES), len(MEMORIES), sharex=True) as panels:
        for row, (quantity, title) in enumerate(QUANTITIES.items()):
            for column, memory in enumerate(MEMORIES):
                axes = panels[row * len(MEMORIES) + column]
                for engine, style in STYLES.items():
                    line = lines.get((engine, trace, memory))
                    if line is not None:
                        at, means = line.mean(getattr(line, quantity), longest / WINDOWS)
                        axes.plot(at, means, **style.drawn)
                for engine in STYLES:
                    if (engine, trace, memory) in runs:
                        _mark_crash(axes, engine, runs[engine, trace, memory], quantity == "waiting")
                axes.set(xlim=(0, longest), ylim=(0, max(1, axes.get_ylim()[1])))
            panels[row * len(MEMORIES)].set_ylabel(title)
        for axes, memory in zip(panels, MEMORIES, strict=False):
            one = next(run for key, run in runs.items() if key[1:] == (trace, memory))
            blocks = one.record["limits"]["num_blocks"]
            axes.set_title(f"{memory} memory: {blocks:,} blocks", loc="left")
        for axes in panels[-len(MEMORIES) :]:
            axes.set_xlabel("virtual time (s)")
        figures.legend_below(panels[0], 3)


def hit_rate_over_time(runs: Runs, trace: str, prompt_tokens: dict[str, int], stem: Path) -> None:
    """Prompt tokens found in the prefix cache, by arrival: of all so far, and of each window."""
    rates = {
        (engine, memory): HitRates.of(run, prompt_tokens)
        for (engine, of_trace, memory), run in runs.items()
        if of_trace == trace and engine in CACHING
    }
    last = max((rate.arrival[-1] for rate in rates.values() if len(rate.arrival)), default=0.0) or 1.0
    with figures.figure(stem, 3.4, 1, len(MEMORIES), sharey=True) as panels:
        for axes, memory in zip(panels, MEMORIES, strict=True):
            for engine in CACHING:
                if (engine, memory) in rates:
                    _draw_hit_rates(axes, engine, rates[engine, memory], last / HIT_WINDOWS)
            axes.set(xlabel="arrival (s)", xlim=(0, last), ylim=(0, 1))
            axes.set_title(f"{memory} memory", loc="left")
            figures.percent(axes.yaxis)
        panels[0].set_ylabel("prompt tokens found in the cache")
        figures.legend_below(panels[0], 2)


def divergence(compared: Sequence[Mapping[str, Any]], stem: Path) -> None:
    """The share of steps in which each version differs from vLLM's scheduler, a bar for each replay."""
    groups = list(dict.fromkeys((found["trace"], found["memory"]) for found in compared))
    with figures.figure(stem, 1.0 + 0.75 * len(groups)) as (axes,):
        height = 0.8 / len(VERSIONS)
        for number, version in enumerate(VERSIONS):
            found = [run for run in compared if run["version"] == version]
            at = [
                groups.index((run["trace"], run["memory"])) - 0.4 + height * (number + 0.5) for run in found
            ]
            style = STYLES[version]
            bars = axes.barh(
                at, [_share(run) for run in found], height, color=style.colour, label=style.label
            )
            axes.bar_label(bars, [_words(run) for run in found], padding=3, fontsize=7)
        axes.set_yticks(
            range(len(groups)), [f"{trace.replace('_', '-')}\n{memory}" for trace, memory in groups]
        )
        axes.invert_yaxis()
        axes.set(xlim=(0, 1.3), xticks=np.linspace(0, 1, 6), xlabel="steps that differ from vLLM's scheduler")
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        figures.percent(axes.xaxis)
        figures.legend_below(axes, 4)


def _outline(axes: Axes, engine: str, counts: np.ndarray, bins: np.ndarray) -> None:
    """A histogram's outline. Empty bins break it, so that it does not hide the axis."""
    axes.stairs(np.where(counts, counts, np.nan), bins, **STYLES[engine].drawn)


def _mark_crash(axes: Axes, engine: str, run: StoredRun, labelled: bool) -> None:
    """A line where a run ended because no block was free, with words next to it if `labelled`."""
    if run.record["crash"]:
        at, colour = run.record["crash"]["time"], STYLES[engine].colour
        axes.axvline(at, color=colour, linestyle="--", linewidth=1.2)
        if labelled:
            place = axes.get_xaxis_transform()
            axes.text(at, 1, f" {engine} ends", va="top", fontsize=8, color=colour, transform=place)


def _draw_hit_rates(axes: Axes, engine: str, rates: HitRates, width: float) -> None:
    """Windows in a pale colour or dotted, the rate so far over them."""
    style = STYLES[engine]
    pale = style._replace(
        label=f"{style.label}: windows of {width:.3g} s",
        colour=PALE.get(style.colour, style.colour),
        line="-" if style.colour in PALE else ":",
        width=0.7 * style.width,
    )
    axes.plot(*rates.windowed(width), drawstyle="steps-mid", **pale.drawn)
    so_far = style._replace(label=f"{style.label}: so far")
    axes.plot(rates.arrival, rates.cumulative(), **so_far.drawn)


def _share(found: Mapping[str, Any]) -> float:
    if found["status"] == "not_run":
        return 0.0
    return found["differing_steps"] / max(1, found["differing_steps"] + found["equal_steps"])


def _words(found: Mapping[str, Any]) -> str:
    if found["status"] == "not_run":
        return "vLLM was not run"
    if not found["differing_steps"]:
        return f"0 of {found['equal_steps']:,}"
    return f"{100 * _share(found):.1f} %, first at step {found['first_difference']['step']:,}"
