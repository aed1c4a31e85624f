"""Measure the prefix cache off and on, in turns, and compare its hits with the sharing analysis.

In: a checkpoint; with --prompts sharegpt a trace.
Out: the test's document (JSON).
"""

from vllm_lab.common import console
from vllm_lab.measure.document import GENERATED
from vllm_lab.measure.workload import with_shared_prefix
from vllm_lab.plan.job import Job, parser_of
from vllm_lab.plan.prefix_cache import TEST, document

WORKLOAD = {
    "requests": int,
    "prompt_tokens": int,
    "output_tokens": int,
    "sharing_requests": float,
    "shared_prompt": float,
    "starts": int,
}


def main(argv: list[str] | None = None) -> None:
    args = parser_of(__doc__, WORKLOAD, "output").parse_args(argv)
    job = Job(args, *WORKLOAD)
    requests = job.requests(args.requests, args.seed)
    if args.prompts == GENERATED:
        shares = (args.sharing_requests, args.shared_prompt)
        requests = with_shared_prefix(requests, *shares, job.vocabulary, args.seed)
    job.write({args.output: TEST}, lambda: [document(job, requests)])


if __name__ == "__main__":
    console.run(main)
