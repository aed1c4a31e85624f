"""How every figure looks and is written: readable in print, 700 pixels wide, and by colour-blind readers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vllm_lab.common.files import atomic_path

# Okabe and Ito's palette: colour-blind readers can distinguish its colours (jfly.uni-koeln.de/color). Its
# yellow, which is unreadable as a line on white, comes last.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00", "#F0E442")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (7, 2)), (0, (3, 1, 1, 1)))
WIDTH = 7.0  # inches: 700 pixels at 100 dots per inch, the width of a page's text
DPI = 160

STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same glyphs on every machine
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "figure.dpi": DPI,
    "svg.fonttype": "path",
    "svg.hashsalt": "vllm-lab",  # otherwise element ids are random
}
_METADATA = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}  # no versions, no times


@contextmanager
def figure(
    stem: Path, height: float, rows: int = 1, columns: int = 1, **grid: object
) -> Iterator[list[Axes]]:
    """Yield the axes (row by row) of a figure `height` inches high; write it to stem.png and stem.svg after.

    The same data give the same bytes. `grid`: further arguments of Figure.subplots, such as sharey.
    """
    with matplotlib.rc_context(STYLE):
        canvas = Figure(figsize=(WIDTH, height), layout="constrained")
        yield canvas.subplots(rows, columns, squeeze=False, **grid).ravel().tolist()
        for kind, metadata in _METADATA.items():
            with atomic_path(stem.with_name(f"{stem.name}.{kind}")) as partial:
                canvas.savefig(partial, format=kind, metadata=metadata)


def message(stem: Path, words: str) -> None:
    """Write a figure that only shows `words`, where there is nothing to draw."""
    with figure(stem, 1.0) as (axes,):
        axes.set_axis_off()
        axes.text(0.5, 0.5, words, ha="center", va="center")


def legend_below(axes: Axes, columns: int) -> None:
    """One legend for the whole figure under it, from the lines of `axes`."""
    handles, labels = axes.get_legend_handles_labels()
    axes.figure.legend(handles, labels, loc="outside lower center", ncols=columns, handlelength=3)


def percent(axis: matplotlib.axis.Axis) -> None:
    """Show fractions as percentages on an axis."""
    axis.set_major_formatter(lambda value, _: f"{100 * value:g} %")


def short_count(value: float) -> str:
    """A count in few characters: 512, 1.5k, 2M; powers of two from 1,024 on as 1Ki, 2Mi."""
    if value >= 1024 and value.is_integer() and int(value).bit_count() == 1:
        return f"{int(value) >> 20}Mi" if value >= 2**20 else f"{int(value) >> 10}Ki"
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:g}"
