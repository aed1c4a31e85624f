"""Figures of captures: one step's ranges, the time of kernels or layers, CPU and GPU time of each step."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from vllm_lab.common import figures

Document = Mapping[str, Any]
LETTER = 0.0085  # width of a letter, as a share of the figure's width
BARS = 10
_WORDS = re.compile(r"[.:] ?")
_COLOURS = [colour for colour in figures.PALETTE if colour != "#000000"]  # bars carry black text


def step_timeline(documents: Mapping[str, Document], stem: Path) -> None:
    """The ranges of one step of each capture. Nested ranges are drawn below the ranges around them."""
    _panels(documents, stem, 2.2, _draw_timeline, "no capture was made")


def kernel_shares(documents: Mapping[str, Document], stem: Path) -> None:
    """Time by class of kernel. Where no kernel was traced: by class of the model's layers, on the CPU."""
    shown = {run: found for run, found in documents.items() if found["kernel_classes"] or _layers(found)}
    _panels(shown, stem, 2.2, _draw_shares, "no kernel was traced, and no run has ranges of layers")


def cpu_and_gpu_time(documents: Mapping[str, Document], stem: Path) -> None:
    """Each step's seconds, those of its forward pass on the CPU, and those in which the GPU was busy."""
    _panels(documents, stem, 2.0, _draw_steps, "no capture was made")


def _panels(
    documents: Mapping[str, Document],
    stem: Path,
    height: float,
    draw: Callable[[Axes, Document], None],
    absence: str,
) -> None:
    """A panel for each capture, one below the other. Without a capture, a line of text."""
    captured = {run: found for run, found in documents.items() if found["status"] != "not_run"}
    if not captured:
        return figures.message(stem, f"not run: {absence}")
    with figures.figure(stem, height * len(captured), len(captured)) as panels:
        for axes, (run, found) in zip(panels, captured.items(), strict=True):
            axes.set_title(f"{run} ({found['engine']}, {found['device']})", loc="left")
            draw(axes, found)


def _draw_timeline(axes: Axes, found: Document) -> None:
    whole = found["timeline"][0]["seconds"]
    scale, unit = _scale(whole)
    colours: dict[str, str] = {}
    for span in found["timeline"]:
        family = _WORDS.split(span["name"])[0]
        colour = colours.setdefault(family, _COLOURS[len(colours) % len(_COLOURS)])
        start, length, row = scale * span["start"], scale * span["seconds"], -span["depth"]
        axes.barh(row, length, left=start, height=0.85, color=colour, alpha=0.55, edgecolor="white")
        label = _label(span["name"], span["seconds"] / whole)
        axes.text(start + length / 2, row, label, ha="center", va="center", fontsize=6.5)
    axes.set(xlabel=f"time since the step's start ({unit})", yticks=[], xlim=(0, scale * whole))
    axes.grid(visible=False, axis="y")


def _label(name: str, room: float) -> str:
    """The name, its last word, or nothing, as fits into `room`, a share of the figure's width."""
    return next((text for text in (name, _WORDS.split(name)[-1]) if LETTER * len(text) < room), "")


def _draw_shares(axes: Axes, found: Document) -> None:
    kernels = found["kernel_classes"]
    rows = [(row["name"], row["share"]) for row in kernels] if kernels else _layers(found)
    names, shares = zip(*reversed(rows[:BARS]), strict=True)
    axes.barh(names, shares, color=figures.PALETTE[0 if kernels else 2])
    axes.set_xlabel(
        "share of the time of all kernels" if kernels else "share of the time of all layers (CPU)"
    )
    figures.percent(axes.xaxis)
    axes.grid(visible=False, axis="y")


def _layers(found: Document) -> list[tuple[str, float]]:
    """Shares of the layers' ranges by class, the largest first."""
    rows = [row for row in found["ranges"] if row["name"].startswith("layer.")]
    total = sum(row["total"] for row in rows)
    return [(row["name"].removeprefix("layer."), row["total"] / total) for row in rows]


def _draw_steps(axes: Axes, found: Document) -> None:
    scale, unit = _scale(max(step["seconds"] for step in found["steps"]))
    lines = {"seconds": "step", "forward": "forward pass, on the CPU", "gpu_busy": "GPU busy"}
    for index, (key, label) in enumerate(lines.items()):
        values = [step[key] for step in found["steps"]]
        if None not in values:
            axes.plot([scale * value for value in values], figures.LINES[index],
                      color=figures.PALETTE[index], label=label, drawstyle="steps-mid")  # fmt: skip
    axes.set(xlabel="step", ylabel=unit, ylim=(0, None))
    axes.legend(loc="upper right")


def _scale(seconds: float) -> tuple[float, str]:
    """The factor to a fitting unit, and the unit's name."""
    return (1e6, "µs") if seconds < 1e-3 else (1e3, "ms")
