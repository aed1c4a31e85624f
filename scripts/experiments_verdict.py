"""Hold an experiment's predictions against its runs.

In: the experiment, the pins, and the files of its runs. Out: one JSON: every prediction with what was
observed and its verdict, the comparisons, whether the predictions are as they were pinned, the aha.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.common import console
from vllm_lab.common.files import write_json
from vllm_lab.experiments import pins
from vllm_lab.experiments.result import verdict_document
from vllm_lab.experiments.spec import Experiment


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--experiment", type=Path, required=True, help="experiments/NAME.yaml")
    parser.add_argument("--pins", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True, help="folder of NAME.RUN.{json,steps.jsonl,…}")
    parser.add_argument("--captures", type=Path, required=True, help="folder of the captures' NAME.RUN.json")
    parser.add_argument("--output", required=True, metavar="JSON")
    args = parser.parse_args(argv)

    experiment = Experiment.read(args.experiment)
    document = verdict_document(experiment, pins.read(args.pins), args.runs, args.captures)
    write_json(args.output, document)
    for entry in document["predictions"]:
        console.log(f"{entry['verdict']:9} {entry['statement']}")


if __name__ == "__main__":
    console.run(main)
