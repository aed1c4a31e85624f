"""Measure one workload with an optimisation off and on, in turns.

In: a checkpoint; with --prompts sharegpt a trace.
Out: the test's document (JSON).
"""

from vllm_lab.common import console
from vllm_lab.measure.workload import poisson
from vllm_lab.plan.job import Job, parser_of
from vllm_lab.plan.pairs import PAIRS, document

WORKLOAD = {"sequences": int, "prompt_tokens": int, "output_tokens": int, "rate": float}


def main(argv: list[str] | None = None) -> None:
    parser = parser_of(__doc__, WORKLOAD, "output")
    parser.add_argument("--test", choices=sorted(PAIRS), required=True)
    args = parser.parse_args(argv)
    pair, job = PAIRS[args.test], Job(args, *WORKLOAD)
    requests = job.requests(args.sequences, args.seed)
    if pair.loaded:
        requests = poisson(requests, args.rate, args.seed)
    job.write({args.output: pair.test}, lambda: [document(pair, job, requests)])


if __name__ == "__main__":
    console.run(main)
