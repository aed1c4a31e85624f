"""Measure one device, the same work on several and more work on several.

In: a checkpoint; with --prompts sharegpt a trace.
Out: a document for each of the three tests (JSON). They list the numbers of devices that the machine lacks.
"""

from vllm_lab.common import console
from vllm_lab.plan.job import Job, parser_of
from vllm_lab.plan.scaling import SINGLE, STRONG, WEAK, documents, tests

WORKLOAD = {"sequences": int, "sequences_per_device": int, "prompt_tokens": int, "output_tokens": int}


def main(argv: list[str] | None = None) -> None:
    parser = parser_of(__doc__, WORKLOAD, SINGLE, STRONG, WEAK)
    parser.add_argument("--devices", type=int, nargs="+", required=True, help="how many; 1 is always added")
    args = parser.parse_args(argv)
    args.devices = sorted({1, *args.devices})
    job = Job(args, "devices", *WORKLOAD)
    fixed = job.requests(args.sequences, args.seed)
    growing = job.requests(args.sequences_per_device * max(args.devices), args.seed + 1)
    outputs = {getattr(args, name): test for name, test in tests(args.devices).items()}
    job.write(outputs, lambda: documents(job, fixed, growing))


if __name__ == "__main__":
    console.run(main)
