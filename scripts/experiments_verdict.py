"""Compare an experiment's predictions with its runs.

In: the experiment, the pins, and the files of its runs.
Out: one JSON: every prediction with what was observed and its verdict, the comparisons, whether the
predictions are as they were pinned, and the aha.
"""

from vllm_lab.common import console, files, flags
from vllm_lab.experiments import spec, verdicts


def main(argv: list[str] | None = None) -> None:
    args = flags.parse(
        argv,
        __doc__,
        experiment="experiments/NAME.yaml",
        pins="experiments/pins.txt",
        runs="folder of NAME.RUN.{json,steps.jsonl,…}",
        captures="folder of the captures' NAME.RUN.json",
        output="JSON to write",
    )
    experiment = spec.Experiment.read(args.experiment)
    document = verdicts.verdict_document(experiment, spec.read_pins(args.pins), args.runs, args.captures)
    files.write_json(args.output, document)
    for entry in document["predictions"]:
        console.log(f"{entry['verdict']:9} {entry['statement']}")


if __name__ == "__main__":
    console.run(main)
