"""The figures of scheduling, drawn from the files of the replays and of their comparison.

`Timeline` and `hit_rates` are what the figures show of a replay over its virtual time.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator

from mini_vllm.tools.versions import VERSIONS
from vllm_lab.common import figures
from vllm_lab.replay.metrics import TIMES
from vllm_lab.replay.records import ORACLES, Key, StoredRun

Shown = Mapping[tuple[str, str], StoredRun]  # engine, memory -> the replay of the trace that is shown
# The versions take these in turn, and all from the third on have the last width. If lines coincide, each is
# narrower than the one below it, so that all of them show.
COLOURS = ("#D55E00", "#E69F00", "#56B4E9", "#0072B2", "#009E73", "#CC79A7")
WIDTHS = (4.6, 3.4, 2.2)
PALE = {"#0072B2": "#56B4E9"}  # a colour's paler partner, if there is one


def _style(label: str, colour: str, line: str, width: float) -> dict[str, Any]:
    """How an engine looks in every figure: the arguments of a plot or an outline."""
    return {"label": label, "color": colour, "linestyle": line, "linewidth": width}


STYLES = {
    name: _style(name, COLOURS[place % len(COLOURS)], "-", WIDTHS[min(place, len(WIDTHS) - 1)])
    for place, name in enumerate(VERSIONS)
} | {
    ORACLES[False]: _style("vLLM without prefix cache", "#000000", ":", 1.0),
    ORACLES[True]: _style("vLLM with prefix cache", "#000000", "-", 0.8),
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


@dataclass(frozen=True, eq=False)
class Timeline:
    """One value for each of S steps. Between a step's end and the next one's start the engine was idle."""

    start: np.ndarray  # float64 [S], s, ascending
    end: np.ndarray  # float64 [S], s
    running: np.ndarray  # int64 [S], requests scheduled in the step
    waiting: np.ndarray  # int64 [S], requests in the engine (arrived, not finished) and not scheduled in it
    used_blocks: np.ndarray  # int64 [S], not free at its end

    @classmethod
    def of(cls, run: StoredRun) -> Self:
        """From the replay's steps and requests.

        A step that finishes a request ends when that got its last token; any other ends where the next one
        starts, since an engine with an unfinished request is not idle. v1's last step ends at the crash.
        """
        refused = {refusal.request_id for refusal in run.refused}
        outcomes = {got.request_id: got for got in run.requests if got.request_id not in refused}
        usable = run.record["limits"]["num_blocks"] - 1
        end: list[float | None] = []
        rows: list[tuple[float, int, int, int]] = []  # start, running, finished, used blocks
        for step in run.steps:
            if end:
                end[-1] = step.time if end[-1] is None else min(end[-1], step.time)
            last = outcomes[step.finished[0]] if step.finished else None
            end.append(last and last.arrival + last.e2e)
            rows.append((step.time, len(step.scheduled), len(step.finished), usable - step.free_blocks))
        if end and end[-1] is None:
            end[-1] = run.record["crash"]["time"]
        start, *counts = np.array(rows, dtype=np.float64).reshape(-1, 4).T
        running, finished, used_blocks = (np.array(column, dtype=np.int64) for column in counts)
        arrivals = np.sort(np.array([got.arrival for got in outcomes.values()], dtype=np.float64))
        arrived = np.searchsorted(arrivals, start, side="right")
        gone = np.cumsum(finished) - finished
        return cls(start, np.array(end, dtype=np.float64), running, arrived - gone - running, used_blocks)

    def mean(self, values: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
        """(middles, means) over windows of `width` s from time 0 to the end, weighted by time; 0 while idle.

        values: [S]. The last window is cut off at the end. Both answers: float64 [ceil(end / width)].
        """
        if not len(self.start):
            return np.empty(0), np.empty(0)
        windows = max(1, math.ceil(self.end[-1] / width - 1e-9))  # no sliver where they fit but for rounding
        edges = np.append(np.arange(windows) * width, self.end[-1])
        area = np.cumsum(values * (self.end - self.start))
        knots = np.column_stack([self.start, self.end]).ravel()
        areas = np.column_stack([np.append(0, area[:-1]), area]).ravel()
        means = np.diff(np.interp(edges, knots, areas)) / np.diff(edges)
        return (edges[:-1] + edges[1:]) / 2, means


def hit_rates(run: StoredRun, prompt_tokens: Mapping[str, int]) -> pd.DataFrame:
    """A row for each admitted request, by arrival: `arrival` (s), `prompt` and `cached` (tokens), `so_far`.

    cached: prompt tokens found at first admission. so_far: the hit rate of all requests up to this one.
    prompt_tokens: request id -> length of its prompt, which the replay's files do not repeat.
    """
    admitted = [got for got in run.requests if got.cached_tokens is not None]
    rows = [(got.arrival, prompt_tokens[got.request_id], got.cached_tokens) for got in admitted]
    rates = pd.DataFrame(rows, columns=["arrival", "prompt", "cached"], dtype=np.float64)
    return rates.assign(so_far=rates["cached"].cumsum() / rates["prompt"].cumsum())


def in_windows(rates: pd.DataFrame, width: float) -> tuple[np.ndarray, np.ndarray]:
    """(middles, hit rates) of the windows of `width` s in which a request arrived."""
    windows = rates.groupby(rates["arrival"] // width).sum()
    return (windows.index.to_numpy() + 0.5) * width, (windows["cached"] / windows["prompt"]).to_numpy()


def draw_all(
    runs: Mapping[Key, StoredRun],
    compared: Sequence[Mapping[str, Any]],
    trace: str,
    prompt_tokens: Mapping[str, int],
    outdir: Path,
) -> None:
    """Write every figure as PNG and SVG; engines that could not run are left out.

    compared: the `runs` of the comparison's document. trace: the one that is shown over time. prompt_tokens:
    the lengths of its prompts by request id.
    """
    shown = {(engine, memory): run for (engine, of, memory), run in runs.items() if of == trace and run.ran}
    latency_histograms(shown, outdir / "latency_histograms")
    running_waiting_blocks(shown, outdir / "running_waiting_blocks")
    hit_rate_over_time(shown, prompt_tokens, outdir / "hit_rate_over_time")
    divergence(compared, outdir / "divergence")


def latency_histograms(runs: Shown, stem: Path) -> None:
    """Requests by TTFT, TPOT and E2E with scarce memory: outlines on one set of bins."""
    requests = {name: runs[name, "scarce"].requests for name in IN_HISTOGRAMS if (name, "scarce") in runs}
    with figures.figure(stem, 6.6, len(TIMES)) as panels:
        for axes, (time, words) in zip(panels, TIMES.items(), strict=True):
            samples = {
                engine: np.array([value for row in rows if (value := getattr(row, time))])
                for engine, rows in requests.items()
            }
            everything = np.concatenate(list(samples.values()))
            if len(everything):
                bins = np.geomspace(everything.min() * 0.999, everything.max() * 1.001, 61)
                for engine, sample in samples.items():
                    counts, _ = np.histogram(sample, bins)
                    # Empty bins break the outline, so that it does not hide the axis.
                    axes.stairs(np.where(counts, counts, np.nan), bins, **STYLES[engine])
            axes.set(xscale="log", xlabel=f"{time.upper()} (s): {words}", ylabel="requests", ylim=(0, None))
            if len(everything) and bins[-1] < 100 * bins[0]:
                axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.xaxis.set_minor_formatter("")
        figures.legend_below(panels[0], 4)


def running_waiting_blocks(runs: Shown, stem: Path) -> None:
    """Requests running and waiting and blocks in use as time goes on, with ample and with scarce memory."""
    lines = {key: Timeline.of(run) for key, run in runs.items()}
    longest = max((line.end[-1] for line in lines.values() if len(line.end)), default=1.0)
    with figures.figure(stem, 6.2, len(QUANTITIES), len(MEMORIES), sharex=True) as panels:
        for axes, (quantity, memory) in zip(panels, product(QUANTITIES, MEMORIES), strict=True):
            present = [engine for engine in STYLES if (engine, memory) in runs]
            for engine in present:
                line = lines[engine, memory]
                axes.plot(*line.mean(getattr(line, quantity), longest / WINDOWS), **STYLES[engine])
            for engine in present:
                _mark_crash(axes, engine, runs[engine, memory], quantity == "waiting")
            axes.set(xlim=(0, longest), ylim=(0, max(1, axes.get_ylim()[1])))
        for axes, title in zip(panels[:: len(MEMORIES)], QUANTITIES.values(), strict=True):
            axes.set_ylabel(title)
        for axes, memory in zip(panels, MEMORIES, strict=False):
            one = next(run for (_, of), run in runs.items() if of == memory)
            blocks = one.record["limits"]["num_blocks"]
            axes.set_title(f"{memory} memory: {blocks:,} blocks", loc="left")
        for axes in panels[-len(MEMORIES) :]:
            axes.set_xlabel("virtual time (s)")
        figures.legend_below(panels[0], 3)


def _mark_crash(axes: Axes, engine: str, run: StoredRun, labelled: bool) -> None:
    """A line where a run ended because no block was free, with words next to it if `labelled`."""
    if run.record["crash"]:
        at, colour = run.record["crash"]["time"], STYLES[engine]["color"]
        axes.axvline(at, color=colour, linestyle="--", linewidth=1.2)
        if labelled:
            place = axes.get_xaxis_transform()
            axes.text(at, 1, f" {engine} ends", va="top", fontsize=8, color=colour, transform=place)


def hit_rate_over_time(runs: Shown, prompt_tokens: Mapping[str, int], stem: Path) -> None:
    """Prompt tokens found in the prefix cache, by arrival: of all so far, and of each window."""
    rates = {key: hit_rates(run, prompt_tokens) for key, run in runs.items() if key[0] in CACHING}
    last = max((rate["arrival"].max() for rate in rates.values() if len(rate)), default=0.0) or 1.0
    with figures.figure(stem, 3.4, 1, len(MEMORIES), sharey=True) as panels:
        for axes, memory in zip(panels, MEMORIES, strict=True):
            for engine in CACHING:
                if (engine, memory) in rates:
                    _draw_hit_rates(axes, STYLES[engine], rates[engine, memory], last / HIT_WINDOWS)
            axes.set(xlabel="arrival (s)", xlim=(0, last), ylim=(0, 1))
            axes.set_title(f"{memory} memory", loc="left")
            figures.percent(axes.yaxis)
        panels[0].set_ylabel("prompt tokens found in the cache")
        figures.legend_below(panels[0], 2)


def _draw_hit_rates(axes: Axes, style: dict[str, Any], rates: pd.DataFrame, width: float) -> None:
    """Windows in a pale colour or dotted, the rate so far over them."""
    label, colour = style["label"], style["color"]
    windows = style | {
        "label": f"{label}: windows of {width:.3g} s",
        "color": PALE.get(colour, colour),
        "linestyle": "-" if colour in PALE else ":",
        "linewidth": 0.7 * style["linewidth"],
    }
    axes.plot(*in_windows(rates, width), drawstyle="steps-mid", **windows)
    axes.plot(rates["arrival"], rates["so_far"], **(style | {"label": f"{label}: so far"}))


def divergence(compared: Sequence[Mapping[str, Any]], stem: Path) -> None:
    """The share of steps in which each version differs from vLLM's scheduler, a bar for each replay."""
    groups = list(dict.fromkeys((found["trace"], found["memory"]) for found in compared))
    height = 0.8 / len(VERSIONS)
    with figures.figure(stem, 1.0 + 0.75 * len(groups)) as (axes,):
        for number, version in enumerate(VERSIONS):
            runs = [run for run in compared if run["version"] == version]
            at = [groups.index((run["trace"], run["memory"])) - 0.4 + height * (number + 0.5) for run in runs]
            shares, words = zip(*map(_share, runs), strict=True) if runs else ((), ())
            bars = axes.barh(at, shares, height, color=STYLES[version]["color"], label=version)
            axes.bar_label(bars, words, padding=3, fontsize=7)
        labels = [f"{trace.replace('_', '-')}\n{memory}" for trace, memory in groups]
        axes.set_yticks(range(len(groups)), labels)
        axes.invert_yaxis()
        axes.set(xlim=(0, 1.3), xticks=np.linspace(0, 1, 6), xlabel="steps that differ from vLLM's scheduler")
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        figures.percent(axes.xaxis)
        figures.legend_below(axes, 4)


def _share(run: Mapping[str, Any]) -> tuple[float, str]:
    """The share of steps that differ, and what is written next to its bar."""
    if run["status"] == "not_run":
        return 0.0, "vLLM was not run"
    equal, differing = run["equal_steps"], run["differing_steps"]
    if not differing:
        return 0.0, f"0 of {equal:,}"
    share = differing / (differing + equal)
    return share, f"{100 * share:.1f} %, first at step {run['first_difference']['step']:,}"
