"""python -m vllm_lab.nsight.profiled: what nsys watches, one run of mini-vLLM or real vLLM with NVTX ranges.

The requests are replayed twice: once to warm up, then inside the range that nsys captures.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from mini_vllm.limits import Limits
from mini_vllm.tools.versions import VERSIONS
from vllm_lab.common import console, host
from vllm_lab.common.errors import Unavailable
from vllm_lab.engines.annotations import annotate, annotated
from vllm_lab.engines.engine import Engine
from vllm_lab.engines.replay import measured_record, replay
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.nsight.nsys import CAPTURED
from vllm_lab.replay import mini
from vllm_lab.replay.flags import add_run, files_of, limits_from, run_requests_from
from vllm_lab.replay.records import RunFiles, simulated_record
from vllm_lab.replay.requests import TracedRequest

REAL = "vllm"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Which engine, on what, which requests, and where the run's files go."""
    parser.add_argument("--engine", choices=(*VERSIONS, REAL), required=True)
    parser.add_argument("--model-dir", type=Path, required=True, help="the checkpoint's folder")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--needs", choices=("cuda",), help="not run on another device")
    parser.add_argument("--enforce-eager", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--cuda-graphs", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--layer-ranges", action=argparse.BooleanOptionalAction, default=False)
    add_run(parser)


def main(argv: Sequence[str] | None = None) -> None:
    """Run once to warm up and once to be captured; a run that cannot be is written down with its reason."""
    parser = argparse.ArgumentParser(prog="python -m vllm_lab.nsight.profiled", description=__doc__)
    add_flags(parser)
    args = parser.parse_args(argv)
    requests, limits, files = run_requests_from(args), limits_from(args), files_of(args)
    try:
        if args.engine == REAL:
            _real(args, requests, limits, files)
        else:
            _mini(args.engine, requests, limits, files)
    except Unavailable as error:
        console.log(f"not run: {error}")
        files.write_not_run(args.engine, limits, str(error))


def _mini(version: str, requests: list[TracedRequest], limits: Limits, files: RunFiles) -> None:
    mini.run(version, requests, limits)
    with annotated(CAPTURED):
        result = mini.run(version, requests, limits)
    files.write(result, simulated_record(version, requests, limits, result))


def _real(args: argparse.Namespace, requests: list[TracedRequest], limits: Limits, files: RunFiles) -> None:
    if args.needs and args.needs != args.device:
        raise Unavailable(f"needs {args.needs}; the device here is {args.device}")
    # For vLLM, which is imported later: its own scopes, and the model runner whose layers it can annotate.
    os.environ |= {"VLLM_NVTX_SCOPES_FOR_PROFILING": "1", "VLLM_USE_V2_MODEL_RUNNER": "0"}
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
        with annotated(CAPTURED):
            measured = replay(engine, requests)
        console.log(f"{args.engine}: {len(measured.steps)} steps, {len(requests)} requests")
        chosen, record = measured_record(requests, limits, [measured])
        files.write(chosen.decisions, record)


if __name__ == "__main__":
    console.run(main)
