"""One job of the plan: what its script was asked for, its engines, and the documents that it writes."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vllm_lab.common import console, flags, host
from vllm_lab.common.errors import Unavailable
from vllm_lab.common.files import read_json, write_json
from vllm_lab.data.shape import shape_of
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.measure.document import GENERATED, PROMPTS, Test, document, measured, now_and_here
from vllm_lab.measure.repeats import Reading, Repeats, Run
from vllm_lab.measure.workload import ample_limits, at_once, choose, uniform
from vllm_lab.replay.replay import TracedRequest
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


class Job:
    """A job by the arguments of `parser_of`."""

    def __init__(self, args: argparse.Namespace, *workload: str) -> None:
        """`workload`: the arguments that the documents state in addition to the shared ones."""
        names = (*ENGINE, *REPEATS, "enforce_eager", "prompts", "seed", *workload)
        self.args = args
        self.repeats = Repeats(args.repeats, args.most_repeats, args.tolerance_pct)
        self.parameters = {
            "model": args.model_name,
            "weights": "dummy" if args.load_format == "dummy" else "real",
            **{name: getattr(args, name) for name in names},
        }

    @property
    def vocabulary(self) -> int:
        """Token ids of the model, from which generated prompts are drawn."""
        return shape_of(read_json(self.args.model_dir / "config.json")).vocab_size

    def requests(self, count: int, seed: int) -> list[TracedRequest]:
        """`count` requests, all at 0 s. LabError where the trace has too few."""
        args = self.args
        if args.prompts == GENERATED:
            return uniform(count, args.prompt_tokens, args.output_tokens, self.vocabulary, seed)
        trace = Trace.read(args.trace)
        return at_once(choose(trace, count, args.prompt_tokens, args.output_tokens, seed))

    def settings(self, *workloads: Sequence[TracedRequest]) -> EngineSettings:
        """An engine with room for all requests of any of the workloads at once."""
        args = self.args
        each = [ample_limits(rows, **{name: getattr(args, name) for name in ENGINE}) for rows in workloads]
        return EngineSettings(
            args.model_dir,
            max(each, key=lambda limits: limits.num_blocks),
            args.device,
            max_model_len=max(row.tokens for rows in workloads for row in rows),
            enforce_eager=args.enforce_eager,
            load_format=args.load_format,
            threads=host.threads(),
        )

    def runs(
        self, measure: Callable[[int], Reading], test: Test, parts: int = 1, threads: int | None = None
    ) -> list[Run]:
        """Every run of `measure`, as in Repeats.run.

        `parts`: how many parts the test has, of which this is one. `threads`: how many threads a run keeps
        busy on a CPU; None: all that the job may use.
        """
        on_gpu = self.args.device != "cpu"  # the process is one thread that waits for the GPU
        busy = 1 if on_gpu else threads or host.threads()
        return self.repeats.divided(parts).run(measure, test.headline, busy)

    def document(
        self, test: Test, environments: Mapping[str, Any], runs: Sequence[Run], **own: Any
    ) -> dict[str, Any]:
        """The document of a test that ran; `own`: its checks and further keys, as in `measured`."""
        test, args = test.on(self.args.prompts), self.args
        return measured(test, args.device, self.parameters, environments, runs, self.repeats, **own)

    def not_run(self, test: Test, reason: str) -> dict[str, Any]:
        """The document of a test that could not run."""
        test, found = test.on(self.args.prompts), now_and_here()
        return document(test, self.args.device, self.parameters, "not_run", reason=reason, **found)

    def write(self, outputs: Mapping[Path, Test], measure: Callable[[], Sequence[dict[str, Any]]]) -> None:
        """Write the documents that `measure` returns, one for each output, or why it could not measure."""
        try:
            found = measure()
        except Unavailable as missing:
            console.log(f"not run: {missing}")
            found = [self.not_run(test, str(missing)) for test in outputs.values()]
        for path, body in zip(outputs, found, strict=True):
            write_json(path, body)
