"""Measure the prefix cache off and on, in turns, and compare its hits with the sharing analysis.

In: a checkpoint; with --prompts sharegpt a trace.
Out: the test's document (JSON). Where vLLM is not installed or the device is missing: the same file, status
not_run.
"""

from collections.abc import Sequence
from typing import Any

from vllm_lab.common import console
from vllm_lab.measure import GENERATED
from vllm_lab.measure.workload import with_shared_prefix
from vllm_lab.plan import flags
from vllm_lab.plan.prefix_cache import TEST, document

WORKLOAD = {
    "requests": int,
    "prompt_tokens": int,
    "output_tokens": int,
    "sharing_requests": float,
    "shared_prompt": float,
    "starts": int,
}


def main(argv: Sequence[str] | None = None) -> None:
    args = flags.parser_of(__doc__, WORKLOAD, "output").parse_args(argv)
    parameters = flags.parameters_of(args, *WORKLOAD)
    requests = flags.requests_of(args, args.requests, args.seed)
    if args.prompts == GENERATED:
        shares = (args.sharing_requests, args.shared_prompt)
        requests = with_shared_prefix(requests, *shares, flags.vocabulary_of(args), args.seed)

    def measure() -> list[dict[str, Any]]:
        settings, repeats = flags.settings_of(args, requests), flags.repeats_of(args)
        return [document(settings, parameters, requests, repeats, flags.busy_threads(args))]

    flags.write(args, parameters, {args.output: TEST}, measure)


if __name__ == "__main__":
    console.run(main)
