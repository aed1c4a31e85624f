"""python -m vllm_lab.experiments check | pin FILE…: check an experiment, and pin its predictions.

check: read the files; say what they ask for and whether they are pinned
pin:   add the predictions' hash to pins.txt beside the file; commit both, then run
"""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from vllm_lab.common import console, flags
from vllm_lab.experiments.spec import PINS_FILE, Experiment, add_pin, pin_state, read_pins


def main(argv: Sequence[str] | None = None) -> None:
    """Parse and run one command."""
    parser = flags.parser_of(__doc__)
    parser.prog = "python -m vllm_lab.experiments"
    parser.add_argument("command", choices=("check", "pin"))
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    args = parser.parse_args(argv)
    for file in args.files:
        experiment, pins = Experiment.read(file), file.parent / PINS_FILE
        if args.command == "pin":
            add_pin(pins, experiment, date.today().isoformat())
            print(f"{experiment.name}: pinned {experiment.digest}")
        else:
            print(
                f"{experiment.name}: {len(experiment.runs)} runs, {len(experiment.comparisons)} comparisons, "
                f"{len(experiment.predictions)} predictions, {pin_state(read_pins(pins), experiment)}"
            )


if __name__ == "__main__":
    console.run(main)
