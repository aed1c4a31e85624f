"""The flags that the plan's scripts share, and what becomes of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vllm_lab.common import console, flags, host
from vllm_lab.common.errors import Unavailable
from vllm_lab.common.files import read_json, write_json
from vllm_lab.data.shape import shape_of
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.measure import GENERATED
from vllm_lab.measure.document import PROMPTS, Test, not_run
from vllm_lab.measure.repeats import Repeats
from vllm_lab.measure.workload import ample_limits, at_once, choose, uniform
from vllm_lab.replay.requests import TracedRequest
from vllm_lab.traces.trace import Trace

ENGINE = {"block_size": int, "max_num_seqs": int, "max_num_batched_tokens": int}
REPEATS = {"repeats": int, "most_repeats": int, "tolerance_pct": float}


def parser_of(
    description: str | None, workload: Mapping[str, type], *outputs: str
) -> argparse.ArgumentParser:
    """A parser with the shared flags, the settings of the test's workload and a JSON file for each output."""
    parser = flags.parser_of(description)
    flags.add_model(parser)
    parser.add_argument("--model-name", required=True, help="the model's name in the result")
    parser.add_argument(
        "--load-format", choices=("auto", "dummy"), default="auto", help="dummy: random weights"
    )
    parser.add_argument("--prompts", choices=tuple(PROMPTS), default=GENERATED)
    parser.add_argument("--trace", type=Path, help="where the requests come from, with --prompts sharegpt")
    parser.add_argument("--enforce-eager", action="store_true", help="no torch.compile, no CUDA graphs")
    flags.add_settings(parser, {**ENGINE, **REPEATS, "seed": int, **workload}, "plan")
    flags.add_paths(parser, **dict.fromkeys(outputs, "JSON to write"))
    return parser


def parameters_of(args: argparse.Namespace, *workload: str) -> dict[str, Any]:
    """The parameters that the result states."""
    names = (*ENGINE, *REPEATS, "enforce_eager", "prompts", "seed", *workload)
    return {
        "model": args.model_name,
        "weights": "dummy" if args.load_format == "dummy" else "real",
        **{name: getattr(args, name) for name in names},
    }


def repeats_of(args: argparse.Namespace) -> Repeats:
    """How often the test runs."""
    return Repeats(args.repeats, args.most_repeats, args.tolerance_pct)


def requests_of(args: argparse.Namespace, count: int, seed: int) -> list[TracedRequest]:
    """`count` requests, all at 0 s. LabError where the trace has too few."""
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
        max_model_len=max(row.prompt_tokens + row.output_tokens for rows in workloads for row in rows),
        enforce_eager=args.enforce_eager,
        load_format=args.load_format,
        threads=host.threads(),
    )


def busy_threads(args: argparse.Namespace) -> int:
    """Threads that a run keeps busy. On CUDA the process is one thread that waits."""
    return host.threads() if args.device == "cpu" else 1


def vocabulary_of(args: argparse.Namespace) -> int:
    """The model's vocabulary, from which generated tokens are drawn."""
    return shape_of(read_json(args.model_dir / "config.json")).vocab_size


def write(
    args: argparse.Namespace,
    parameters: Mapping[str, Any],
    outputs: Mapping[Path, Test],
    measure: Callable[[], Sequence[dict[str, Any]]],
) -> None:
    """Write the documents that `measure` returns, one for each of `outputs`, or why it could not measure."""
    try:
        found = measure()
    except Unavailable as missing:
        console.log(f"not run: {missing}")
        tests = [test.on(args.prompts) for test in outputs.values()]
        found = [not_run(test, args.device, parameters, str(missing)) for test in tests]
    for path, document in zip(outputs, found, strict=True):
        write_json(path, document)
