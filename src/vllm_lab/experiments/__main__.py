"""python -m vllm_lab.experiments check | pin FILE…: check an experiment, and pin its predictions."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from vllm_lab.common import console
from vllm_lab.experiments.spec import PINS_FILE, Experiment, add_pin, pin_state, read_pins


def main(argv: Sequence[str] | None = None) -> None:
    """Parse and run one command."""
    parser = argparse.ArgumentParser(prog="python -m vllm_lab.experiments", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="check | pin")
    for name, command, words in (
        ("check", _check, "read the files; say what they ask for and whether they are pinned"),
        ("pin", _pin, "add the predictions' hash to pins.txt beside the file; commit both, then run"),
    ):
        parsed = commands.add_parser(name, help=words)
        parsed.add_argument("files", type=Path, nargs="+", metavar="FILE")
        parsed.set_defaults(command=command)
    arguments = parser.parse_args(argv)
    for file in arguments.files:
        arguments.command(file)


def _check(file: Path) -> None:
    experiment = Experiment.read(file)
    state = pin_state(read_pins(file.parent / PINS_FILE), experiment)
    print(
        f"{experiment.name}: {len(experiment.runs)} runs, {len(experiment.comparisons)} comparisons, "
        f"{len(experiment.predictions)} predictions, {state}"
    )


def _pin(file: Path) -> None:
    experiment = Experiment.read(file)
    pin = add_pin(file.parent / PINS_FILE, experiment, date.today().isoformat())
    print(f"{pin.experiment}: pinned {pin.digest}")


if __name__ == "__main__":
    console.run(main)
