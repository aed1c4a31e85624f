"""Measure the prefix cache off and on, in turns, and hold its hits against the sharing analysis.

In: a checkpoint; with --prompts sharegpt a trace.
Out: the test's document (JSON). Where vLLM is not installed or the device is not there: the same file, status
not_run.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vllm_lab.common import console
from vllm_lab.measure.document import GENERATED
from vllm_lab.measure.workload import with_shared_prefix
from vllm_lab.plan import flags
from vllm_lab.plan.prefix_cache import TEST, account

WORKLOAD = {
    "requests": int,
    "prompt_tokens": int,
    "output_tokens": int,
    "sharing_requests": float,
    "shared_prompt": float,
    "starts": int,
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = flags.parser_of(__doc__, **WORKLOAD)
    parser.add_argument("--output", type=Path, required=True, help="JSON to write")
    args = parser.parse_args(argv)
    parameters = flags.parameters_of(args, *WORKLOAD)
    requests = flags.requests_of(args, args.requests, args.seed)
    if args.prompts == GENERATED:
        vocabulary = flags.vocabulary_of(args)
        requests = with_shared_prefix(
            requests, args.sharing_requests, args.shared_prompt, vocabulary, args.seed
        )

    def measure() -> list[dict[str, Any]]:
        settings, repeats = flags.settings_of(args, requests), flags.repeats_of(args)
        return [account(settings, parameters, requests, repeats, flags.busy_threads(args))]

    flags.write(args, parameters, {args.output: TEST}, measure)


if __name__ == "__main__":
    console.run(main)
