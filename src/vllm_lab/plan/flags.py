"""The flags that every script of the plan has, so that all of them are spelt alike."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vllm_lab.common import console, host
from vllm_lab.common.errors import Unavailable
from vllm_lab.common.files import read_json, write_json
from vllm_lab.data.shape import shape_of
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.measure.document import GENERATED, PROMPTS, Test, not_run
from vllm_lab.measure.repeats import Repeats
from vllm_lab.measure.workload import ample_limits, at_once, choose, uniform
from vllm_lab.replay.requests import TracedRequest
from vllm_lab.traces.trace import Trace

ENGINE = {"block_size": int, "max_num_seqs": int, "max_num_batched_tokens": int}
REPEATS = {"repeats": int, "most_repeats": int, "tolerance_pct": float}


def parser_of(description: str | None, **own: type) -> argparse.ArgumentParser:
    """A parser with the common flags and the test's `own` ones, all required."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model-dir", type=Path, required=True, help="the checkpoint's folder")
    parser.add_argument("--model-name", required=True, help="what the result calls it")
    parser.add_argument("--load-format", choices=("auto", "dummy"), default="auto", help="dummy: no weights")
    parser.add_argument("--device", choices=("cpu", "cuda"), required=True)
    parser.add_argument("--prompts", choices=tuple(PROMPTS), default=GENERATED)
    parser.add_argument("--trace", type=Path, help="the requests, with --prompts sharegpt")
    parser.add_argument("--enforce-eager", action="store_true", help="no torch.compile, no CUDA graphs")
    for name, kind in (ENGINE | REPEATS | {"seed": int} | own).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, required=True, help=f"plan: {name}")
    return parser


def parameters_of(args: argparse.Namespace, *own: str) -> dict[str, Any]:
    """What the result says it was run with."""
    names = (*ENGINE, *REPEATS, "enforce_eager", "prompts", "seed", *own)
    return {
        "model": args.model_name,
        "weights": "dummy" if args.load_format == "dummy" else "real",
        **{name: getattr(args, name) for name in names},
    }


def repeats_of(args: argparse.Namespace) -> Repeats:
    """How often."""
    return Repeats(args.repeats, args.most_repeats, args.tolerance_pct)


def requests_of(args: argparse.Namespace, count: int, seed: int) -> list[TracedRequest]:
    """`count` requests, all at 0 s; LabError where the trace has too few."""
    if args.prompts == GENERATED:
        return uniform(count, args.prompt_tokens, args.output_tokens, vocabulary_of(args), seed)
    return at_once(choose(Trace.read(args.trace), count, args.prompt_tokens, args.output_tokens, seed))


def settings_of(args: argparse.Namespace, *workloads: Sequence[TracedRequest]) -> EngineSettings:
    """An engine with room for all requests of any of the workloads at once."""
    each = [ample_limits(rows, **{name: getattr(args, name) for name in ENGINE}) for rows in workloads]
    return EngineSettings(
        args.model_dir,
        max(each, key=lambda limits: limits.num_blocks),
        args.device,
        max_model_len=max(len(row.prompt) + len(row.output) for rows in workloads for row in rows),
        enforce_eager=args.enforce_eager,
        load_format=args.load_format,
        threads=host.threads(),
    )


def write(
    args: argparse.Namespace,
    parameters: dict[str, Any],
    outputs: dict[Path, Test],
    measure: Callable[[], Sequence[dict[str, Any]]],
) -> None:
    """Write the documents that `measure` gives, one for each of `outputs`, or why it could not measure."""
    try:
        found = measure()
    except Unavailable as missing:
        console.log(f"not run: {missing}")
        tests = [test.on(args.prompts) for test in outputs.values()]
        found = [not_run(test, args.device, parameters, str(missing)) for test in tests]
    for path, document in zip(outputs, found, strict=True):
        write_json(path, document)


def busy_threads(args: argparse.Namespace) -> int:
    """Threads that a run keeps busy: on CUDA the process is one that waits."""
    return host.threads() if args.device == "cpu" else 1


def vocabulary_of(args: argparse.Namespace) -> int:
    """Of the model; generated tokens are drawn from it."""
    return shape_of(read_json(args.model_dir / "config.json")).vocab_size
