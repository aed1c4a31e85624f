"""The flags that every script of the plan has, so that all of them are spelt alike."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mini_vllm.limits import Limits
from vllm_lab import console
from vllm_lab.bench.repeats import Repeats
from vllm_lab.bench.workload import ample_limits
from vllm_lab.engine.settings import EngineSettings
from vllm_lab.files import read_json
from vllm_lab.model.shape import shape_of
from vllm_lab.oracle.engine import TracedRequest

ENGINE = {"block_size": int, "max_num_seqs": int, "max_num_batched_tokens": int}
REPEATS = {"repeats": int, "most_repeats": int, "tolerance_pct": float}


def parser_of(description: str | None, **own: type) -> argparse.ArgumentParser:
    """A parser with the common flags and the test's `own` ones, all required."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model-dir", type=Path, required=True, help="the checkpoint's folder")
    parser.add_argument("--device", choices=("cpu", "cuda"), required=True)
    parser.add_argument("--enforce-eager", action="store_true", help="no torch.compile, no CUDA graphs")
    for name, kind in (ENGINE | REPEATS | {"seed": int} | own).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, required=True, help=f"bench: {name}")
    return parser


def parameters_of(args: argparse.Namespace, *own: str) -> dict[str, Any]:
    """What the result says it was run with."""
    names = (*ENGINE, *REPEATS, "enforce_eager", "seed", *own)
    return {name: getattr(args, name) for name in names}


def repeats_of(args: argparse.Namespace) -> Repeats:
    """How often."""
    return Repeats(args.repeats, args.most_repeats, args.tolerance_pct)


def settings_of(args: argparse.Namespace, requests: Sequence[TracedRequest]) -> EngineSettings:
    """An engine with room for all of these requests at once."""
    limits: Limits = ample_limits(requests, **{name: getattr(args, name) for name in ENGINE})
    longest = max(len(row.prompt) + len(row.output) for row in requests)
    return EngineSettings(
        args.model_dir,
        limits,
        args.device,
        max_model_len=longest,
        enforce_eager=args.enforce_eager,
        threads=console.threads(),
    )


def busy_threads(args: argparse.Namespace) -> int:
    """Threads that a run keeps busy: on CUDA the process is one that waits."""
    return console.threads() if args.device == "cpu" else 1


def vocabulary_of(args: argparse.Namespace) -> int:
    """Of the model; its tokens are drawn from."""
    return shape_of(read_json(args.model_dir / "config.json")).vocab_size
