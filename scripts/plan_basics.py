"""Measure throughput, latency and memory of one engine.

In: a checkpoint; with --prompts sharegpt a trace.
Out: a document for each of the three tests (JSON).
"""

from vllm_lab.common import console
from vllm_lab.measure.workload import poisson
from vllm_lab.plan.basics import TESTS, documents
from vllm_lab.plan.job import Job, parser_of

WORKLOAD = {
    "sequences": int,
    "prompt_tokens": int,
    "output_tokens": int,
    "single_requests": int,
    "loaded_requests": int,
    "rate": float,
}


def main(argv: list[str] | None = None) -> None:
    args = parser_of(__doc__, WORKLOAD, *(test.id for test in TESTS)).parse_args(argv)
    job = Job(args, *WORKLOAD)
    batch = job.requests(args.sequences, args.seed)
    arriving = poisson(job.requests(args.loaded_requests, args.seed + 1), args.rate, args.seed)
    outputs = {getattr(args, test.id): test for test in TESTS}
    job.write(outputs, lambda: documents(job, batch, arriving))


if __name__ == "__main__":
    console.run(main)
