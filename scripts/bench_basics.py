"""Measure throughput, latency and memory of one engine.

In: a checkpoint; with --prompts sharegpt a trace.
Out: a document for each of the three tests (JSON). Where vLLM is not installed or the device is not there:
the same files, status not_run.
"""

from collections.abc import Sequence
from pathlib import Path

from vllm_lab import console
from vllm_lab.bench import basics
from vllm_lab.bench.flags import (
    busy_threads,
    parameters_of,
    parser_of,
    repeats_of,
    requests_of,
    settings_of,
)
from vllm_lab.bench.result import not_run
from vllm_lab.bench.worker import EngineProcess
from vllm_lab.bench.workload import poisson
from vllm_lab.errors import Unavailable
from vllm_lab.files import write_json

WORKLOAD = {
    "sequences": int,
    "prompt_tokens": int,
    "output_tokens": int,
    "single_requests": int,
    "loaded_requests": int,
    "rate": float,
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_of(__doc__, **WORKLOAD)
    for test in basics.TESTS:
        parser.add_argument(f"--{test.id}", type=Path, required=True, help="JSON to write")
    args = parser.parse_args(argv)
    parameters = parameters_of(args, *WORKLOAD)
    batch = requests_of(args, args.sequences, args.seed)
    arriving = poisson(requests_of(args, args.loaded_requests, args.seed + 1), args.rate, args.seed)
    settings = settings_of(args, batch, arriving)
    try:
        with EngineProcess(settings) as engine:
            found = basics.accounts(
                engine,
                args.model_dir,
                args.device,
                parameters,
                batch,
                arriving,
                repeats_of(args),
                busy_threads(args),
            )
    except Unavailable as missing:
        console.log(f"not run: {missing}")
        found = {
            test.id: not_run(test.of(args.prompts), args.device, parameters, str(missing))
            for test in basics.TESTS
        }
    for name, document in found.items():
        write_json(getattr(args, name), document)


if __name__ == "__main__":
    console.run(main)
