"""Measure one device, the same work on several and more work on several.

In: a checkpoint; with --prompts sharegpt a trace.
Out: a document for each of the three tests (JSON). Numbers of devices that the machine lacks are told as not
run; where vLLM is not installed or the device is not there, all is not_run.
"""

from collections.abc import Sequence
from pathlib import Path

from vllm_lab import console
from vllm_lab.bench import scaling
from vllm_lab.bench.flags import parameters_of, parser_of, repeats_of, requests_of, settings_of
from vllm_lab.bench.result import not_run
from vllm_lab.errors import Unavailable
from vllm_lab.files import write_json

WORKLOAD = {"sequences": int, "sequences_per_device": int, "prompt_tokens": int, "output_tokens": int}


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_of(__doc__, **WORKLOAD)
    parser.add_argument("--devices", type=int, nargs="+", required=True, help="how many; 1 among them")
    names = [make.__name__ for make in scaling.TESTS]
    for name in names:
        parser.add_argument(f"--{name}", type=Path, required=True, help="JSON to write")
    args = parser.parse_args(argv)
    args.devices = sorted({1, *args.devices})
    parameters = parameters_of(args, "devices", *WORKLOAD)
    fixed = requests_of(args, args.sequences, args.seed)
    growing = requests_of(args, args.sequences_per_device * max(args.devices), args.seed + 1)
    settings = settings_of(args, fixed, growing[: args.sequences_per_device])
    try:
        documents = scaling.accounts(settings, parameters, fixed, growing, repeats_of(args))
    except Unavailable as missing:
        console.log(f"not run: {missing}")
        documents = [
            not_run(make(args.devices).of(args.prompts), args.device, parameters, str(missing))
            for make in scaling.TESTS
        ]
    for name, document in zip(names, documents, strict=True):
        write_json(getattr(args, name), document)


if __name__ == "__main__":
    console.run(main)
