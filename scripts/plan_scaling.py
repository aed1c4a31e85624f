"""Measure one device, the same work on several and more work on several.

In: a checkpoint; with --prompts sharegpt a trace.
Out: a document for each of the three tests (JSON). Numbers of devices that the machine lacks are told as not
run; where vLLM is not installed or the device is not there, all is not_run.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vllm_lab.common import console
from vllm_lab.plan import flags, scaling

WORKLOAD = {"sequences": int, "sequences_per_device": int, "prompt_tokens": int, "output_tokens": int}


def main(argv: Sequence[str] | None = None) -> None:
    parser = flags.parser_of(__doc__, **WORKLOAD)
    parser.add_argument("--devices", type=int, nargs="+", required=True, help="how many; 1 among them")
    for make in scaling.TESTS:
        parser.add_argument(f"--{make.__name__}", type=Path, required=True, help="JSON to write")
    args = parser.parse_args(argv)
    args.devices = sorted({1, *args.devices})
    parameters = flags.parameters_of(args, "devices", *WORKLOAD)
    fixed = flags.requests_of(args, args.sequences, args.seed)
    growing = flags.requests_of(args, args.sequences_per_device * max(args.devices), args.seed + 1)

    def measure() -> list[dict[str, Any]]:
        settings = flags.settings_of(args, fixed, growing[: args.sequences_per_device])
        return scaling.accounts(settings, parameters, fixed, growing, flags.repeats_of(args))

    outputs = {getattr(args, make.__name__): make(args.devices) for make in scaling.TESTS}
    flags.write(args, parameters, outputs, measure)


if __name__ == "__main__":
    console.run(main)
