"""Measure one workload with an optimisation off and on, in turns.

In: a checkpoint; with --prompts sharegpt a trace.
Out: the test's document (JSON). Where vLLM is not installed, or the device has nothing to compare: the same
file, status not_run.
"""

from collections.abc import Sequence
from pathlib import Path

from vllm_lab import console
from vllm_lab.bench.flags import (
    busy_threads,
    parameters_of,
    parser_of,
    repeats_of,
    requests_of,
    settings_of,
)
from vllm_lab.bench.pairs import PAIRS, account
from vllm_lab.bench.result import not_run
from vllm_lab.bench.workload import poisson
from vllm_lab.errors import Unavailable
from vllm_lab.files import write_json

WORKLOAD = {"sequences": int, "prompt_tokens": int, "output_tokens": int, "rate": float}


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_of(__doc__, **WORKLOAD)
    parser.add_argument("--test", choices=sorted(PAIRS), required=True)
    parser.add_argument("--output", type=Path, required=True, help="JSON to write")
    args = parser.parse_args(argv)
    pair, parameters = PAIRS[args.test], parameters_of(args, *WORKLOAD)
    requests = requests_of(args, args.sequences, args.seed)
    if pair.loaded:
        requests = poisson(requests, args.rate, args.seed)
    settings = settings_of(args, requests)
    try:
        found = account(pair, settings, parameters, requests, repeats_of(args), busy_threads(args))
    except Unavailable as missing:
        console.log(f"not run: {missing}")
        found = not_run(pair.test.of(args.prompts), args.device, parameters, str(missing))
    write_json(args.output, found)


if __name__ == "__main__":
    console.run(main)
