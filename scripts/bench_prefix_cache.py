"""Measure the prefix cache off and on, in turns, and hold its hits against the sharing analysis.

In: a checkpoint; with --prompts sharegpt a trace.
Out: the test's document (JSON). Where vLLM is not installed or the device is not there: the same file, status
not_run.
"""

from collections.abc import Sequence
from pathlib import Path

from vllm_lab import console
from vllm_lab.bench import prefix_cache
from vllm_lab.bench.flags import (
    busy_threads,
    parameters_of,
    parser_of,
    repeats_of,
    requests_of,
    settings_of,
    vocabulary_of,
)
from vllm_lab.bench.result import GENERATED, not_run
from vllm_lab.bench.workload import with_shared_prefix
from vllm_lab.errors import Unavailable
from vllm_lab.files import write_json

WORKLOAD = {
    "requests": int,
    "prompt_tokens": int,
    "output_tokens": int,
    "sharing_requests": float,
    "shared_prompt": float,
    "starts": int,
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_of(__doc__, **WORKLOAD)
    parser.add_argument("--output", type=Path, required=True, help="JSON to write")
    args = parser.parse_args(argv)
    parameters = parameters_of(args, *WORKLOAD)
    requests = requests_of(args, args.requests, args.seed)
    if args.prompts == GENERATED:
        requests = with_shared_prefix(
            requests, args.sharing_requests, args.shared_prompt, vocabulary_of(args), args.seed
        )
    settings = settings_of(args, requests)
    try:
        found = prefix_cache.account(settings, parameters, requests, repeats_of(args), busy_threads(args))
    except Unavailable as missing:
        console.log(f"not run: {missing}")
        found = not_run(prefix_cache.TEST.of(args.prompts), args.device, parameters, str(missing))
    write_json(args.output, found)


if __name__ == "__main__":
    console.run(main)
