"""Measure throughput, latency and memory of one engine.

In: a checkpoint; with --prompts sharegpt a trace.
Out: a document for each of the three tests (JSON). Where vLLM is not installed or the device is missing: the
same files, status not_run.
"""

from collections.abc import Sequence
from typing import Any

from vllm_lab.common import console
from vllm_lab.measure.worker import EngineProcess, running
from vllm_lab.measure.workload import poisson
from vllm_lab.plan import basics, flags

WORKLOAD = {
    "sequences": int,
    "prompt_tokens": int,
    "output_tokens": int,
    "single_requests": int,
    "loaded_requests": int,
    "rate": float,
}


def main(argv: Sequence[str] | None = None) -> None:
    args = flags.parser_of(__doc__, WORKLOAD, *(test.id for test in basics.TESTS)).parse_args(argv)
    parameters = flags.parameters_of(args, *WORKLOAD)
    batch = flags.requests_of(args, args.sequences, args.seed)
    arriving = poisson(flags.requests_of(args, args.loaded_requests, args.seed + 1), args.rate, args.seed)

    def measure() -> list[dict[str, Any]]:
        repeats, threads = flags.repeats_of(args), flags.busy_threads(args)
        engine = EngineProcess(flags.settings_of(args, batch, arriving))
        with running(engine):
            return basics.documents(
                engine, args.model_dir, args.device, parameters, batch, arriving, repeats, threads
            )

    flags.write(args, parameters, {getattr(args, test.id): test for test in basics.TESTS}, measure)


if __name__ == "__main__":
    console.run(main)
