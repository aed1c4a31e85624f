"""Measure one workload with an optimisation off and on, in turns.

In: a checkpoint; with --prompts sharegpt a trace.
Out: the test's document (JSON). Where vLLM is not installed, or the device has nothing to compare: the same
file, status not_run.
"""

from collections.abc import Sequence
from typing import Any

from vllm_lab.common import console
from vllm_lab.measure.workload import poisson
from vllm_lab.plan import flags
from vllm_lab.plan.pairs import PAIRS, document

WORKLOAD = {"sequences": int, "prompt_tokens": int, "output_tokens": int, "rate": float}


def main(argv: Sequence[str] | None = None) -> None:
    parser = flags.parser_of(__doc__, WORKLOAD, "output")
    parser.add_argument("--test", choices=sorted(PAIRS), required=True)
    args = parser.parse_args(argv)
    pair, parameters = PAIRS[args.test], flags.parameters_of(args, *WORKLOAD)
    requests = flags.requests_of(args, args.sequences, args.seed)
    if pair.loaded:
        requests = poisson(requests, args.rate, args.seed)

    def measure() -> list[dict[str, Any]]:
        settings, repeats = flags.settings_of(args, requests), flags.repeats_of(args)
        return [document(pair, settings, parameters, requests, repeats, flags.busy_threads(args))]

    flags.write(args, parameters, {args.output: pair.test}, measure)


if __name__ == "__main__":
    console.run(main)
