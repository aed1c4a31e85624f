"""Draw the figures of the calibration: predicted against measured.

In: the account of a calibration, its steps and its held-out requests.
Out: calibration_steps, calibration_requests, as PNG and SVG; where it was not run they say so.
"""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.common import console
from vllm_lab.common.files import read_json
from vllm_lab.cost_model.figures import not_run, requests_figure, steps_figure


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calibration", type=Path, required=True, help="calibration.json")
    parser.add_argument("--steps", type=Path, required=True, help="steps.csv")
    parser.add_argument("--heldout", type=Path, required=True, help="heldout.csv")
    parser.add_argument("--outdir", type=Path, required=True)
    args = parser.parse_args(argv)
    figures = (
        (steps_figure, args.steps, args.outdir / "calibration_steps"),
        (requests_figure, args.heldout, args.outdir / "calibration_requests"),
    )
    ran = read_json(args.calibration)["status"] != "not_run"
    for draw, table, stem in figures:
        if ran:
            draw(used_rows(table), stem)
        else:
            not_run(stem)


def used_rows(table: Path) -> list[dict[str, str]]:
    """The rows of runs that the account rests on."""
    with table.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["used"] == "1"]


if __name__ == "__main__":
    console.run(main)
