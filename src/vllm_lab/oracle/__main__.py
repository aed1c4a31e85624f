"""python -m vllm_lab.oracle run | compare | fuzz: vLLM's decisions, and whether mini_vllm takes them too."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mini_vllm.tools.versions import VERSIONS
from vllm_lab.common import console
from vllm_lab.oracle import engine, fuzz
from vllm_lab.oracle.scheduler import vllm_version
from vllm_lab.replay import flags, mini, records
from vllm_lab.replay.comparison import compare


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and run one command; `compare` and `fuzz` exit with 1 on a difference."""
    arguments = _parser().parse_args(argv)
    arguments.command(arguments)


def _run(arguments: argparse.Namespace) -> None:
    result = engine.run(flags.requests_from(arguments), flags.limits_from(arguments))
    for refusal in result.refused:
        console.log(f"refused: {refusal.request_id} {refusal.reason}")
    records.write_steps(arguments.steps, result.steps)
    records.write_requests(arguments.requests, result.requests)
    console.log(
        f"vLLM {vllm_version()}: {len(result.requests)} requests ({len(result.refused)} refused), "
        f"{len(result.steps)} steps, {sum(len(step.preempted) for step in result.steps)} preemptions"
    )


def _compare(arguments: argparse.Namespace) -> None:
    requests, limits = flags.requests_from(arguments), flags.limits_from(arguments)
    oracle = engine.run(requests, limits)
    comparison = compare(oracle, mini.run(arguments.version, requests, limits))
    print(f"{arguments.version} against vLLM {vllm_version()}: {comparison.report()}")
    if not comparison.equal:
        raise SystemExit(1)


def _fuzz(arguments: argparse.Namespace) -> None:
    failed = 0
    for version in arguments.version or fuzz.MUST_BE_EQUAL:
        verdicts = list(
            console.progress(fuzz.fuzz(version, arguments.n, arguments.seed), desc=version, total=arguments.n)
        )
        failures = [verdict for verdict in verdicts if verdict.failure is not None]
        print(fuzz.summary(version, verdicts))
        if version not in fuzz.MUST_BE_EQUAL:
            continue  # v1 and v2 are a learner's guesses: their differences are only counted
        failed += len(failures)
        for verdict in failures[: arguments.show]:
            print(f"\ncase {verdict.number}: {verdict.failure}\n\n{fuzz.as_test(verdict, arguments.seed)}")
    if failed:
        raise SystemExit(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m vllm_lab.oracle", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="run | compare | fuzz")
    run = commands.add_parser("run", help="replay a trace through vLLM's scheduler")
    _add_limits(run)
    flags.add_outputs(run)
    run.set_defaults(command=_run)
    side_by_side = commands.add_parser(
        "compare", help="replay a trace through vLLM's scheduler and mini_vllm"
    )
    side_by_side.add_argument("--version", choices=VERSIONS, required=True, help="of mini_vllm")
    _add_limits(side_by_side)
    side_by_side.set_defaults(command=_compare)
    random = commands.add_parser("fuzz", help="compare on random workloads; failing ones become tests")
    random.add_argument(
        "--version", choices=VERSIONS, action="append", help=f"({', '.join(fuzz.MUST_BE_EQUAL)})"
    )
    random.add_argument("--n", type=int, default=500, help="workloads for each version (%(default)s)")
    random.add_argument("--seed", type=int, default=0, help="of the workloads (%(default)s)")
    random.add_argument("--show", type=int, default=3, help="failing cases to shrink and print (%(default)s)")
    random.set_defaults(command=_fuzz)
    return parser


def _add_limits(parser: argparse.ArgumentParser) -> None:
    flags.add_trace(parser)
    flags.add_limits(parser)
    flags.add_clock(parser)


if __name__ == "__main__":
    console.run(main)
