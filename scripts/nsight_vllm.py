"""Capture one run of real vLLM with Nsight Systems.

In: a trace and a checkpoint.
Out: nsys' report and its SQLite export; what was captured (JSON); the run's steps (JSON Lines), requests
(CSV), record (JSON) and decisions as lines. Without nsys, vLLM or the device, report and export are empty.
"""

import argparse
import os

from vllm_lab.common import console, errors, flags, host
from vllm_lab.engines.annotations import annotate
from vllm_lab.engines.engine import Engine
from vllm_lab.engines.replay import replay
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.nsight.capture import Program, capturing
from vllm_lab.replay.flags import files_of, limits_from, run_requests_from
from vllm_lab.replay.records import REAL, measured_record


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(engine=REAL)
    flags.add_paths(parser, model_dir="the checkpoint's folder")
    parser.add_argument("--needs", choices=("cuda",), help="not run on another device")
    parser.add_argument("--enforce-eager", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--cuda-graphs", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--layer-ranges", action=argparse.BooleanOptionalAction, default=False)


def run(args: argparse.Namespace) -> None:
    """Replay the requests once to warm up and once to be captured."""
    if args.needs and args.needs != args.device:
        raise errors.Unavailable(f"needs {args.needs}; the device here is {args.device}")
    # vLLM, imported later, reads them: its own scopes, and the model runner whose layers it can annotate.
    os.environ |= {"VLLM_NVTX_SCOPES_FOR_PROFILING": "1", "VLLM_USE_V2_MODEL_RUNNER": "0"}
    requests, limits = run_requests_from(args), limits_from(args)
    settings = EngineSettings(
        args.model_dir,
        limits,
        args.device,
        enforce_eager=args.enforce_eager,
        cuda_graphs=args.cuda_graphs,
        layerwise_nvtx=args.layer_ranges and args.device == "cuda",
        threads=host.threads(),
    )
    with Engine(settings) as engine:
        annotate(engine, layers=args.layer_ranges and args.device == "cpu")
        replay(engine, requests)
        with capturing():
            captured = replay(engine, requests)
        console.log(captured.summary())
        _, record = measured_record(requests, limits, [captured], captured.environment)
        files_of(args).write(captured, record)


main = Program(__file__, __doc__, add_flags, run).main

if __name__ == "__main__":
    console.run(main)
