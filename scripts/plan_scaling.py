"""Measure one device, the same work on several and more work on several.

In: a checkpoint; with --prompts sharegpt a trace.
Out: a document for each of the three tests (JSON). They list the numbers of devices that the machine lacks as
not run. Where vLLM is not installed or the device is missing, all of them have the status not_run.
"""

from collections.abc import Sequence
from typing import Any

from vllm_lab.common import console
from vllm_lab.plan import flags, scaling

WORKLOAD = {"sequences": int, "sequences_per_device": int, "prompt_tokens": int, "output_tokens": int}


def main(argv: Sequence[str] | None = None) -> None:
    parser = flags.parser_of(__doc__, WORKLOAD, scaling.SINGLE, scaling.STRONG, scaling.WEAK)
    parser.add_argument("--devices", type=int, nargs="+", required=True, help="how many; 1 is always added")
    args = parser.parse_args(argv)
    args.devices = sorted({1, *args.devices})
    parameters = flags.parameters_of(args, "devices", *WORKLOAD)
    fixed = flags.requests_of(args, args.sequences, args.seed)
    growing = flags.requests_of(args, args.sequences_per_device * max(args.devices), args.seed + 1)

    def measure() -> list[dict[str, Any]]:
        settings = flags.settings_of(args, fixed, growing[: args.sequences_per_device])
        return scaling.documents(settings, parameters, fixed, growing, flags.repeats_of(args))

    outputs = {getattr(args, name): test for name, test in scaling.tests(args.devices).items()}
    flags.write(args, parameters, outputs, measure)


if __name__ == "__main__":
    console.run(main)
