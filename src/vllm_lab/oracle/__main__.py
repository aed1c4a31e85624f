"""python -m vllm_lab.oracle run | compare | fuzz: vLLM's decisions, and whether mini_vllm takes them too."""

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
    differs = False
    for version in arguments.version or fuzz.MUST_BE_EQUAL:
        cases = fuzz.fuzz(version, arguments.n, arguments.seed)
        verdicts = list(console.progress(cases, desc=version, total=arguments.n))
        print(fuzz.summary(version, verdicts))
        if version not in fuzz.MUST_BE_EQUAL:
            continue  # v1 and v2 are a learner's guesses: their differences are only counted
        failed = [number for number, verdict in enumerate(verdicts) if verdict.failure is not None]
        differs = differs or bool(failed)
        for number in failed[: arguments.show]:
            test = fuzz.as_test(verdicts[number], number, arguments.seed)
            print(f"\ncase {number}: {verdicts[number].failure}\n\n{test}")
    if differs:
        raise SystemExit(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m vllm_lab.oracle", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="run | compare | fuzz")
    run = commands.add_parser("run", help="replay a trace through vLLM's scheduler")
    run.set_defaults(command=_run)
    both = commands.add_parser("compare", help="replay a trace through vLLM's scheduler and mini_vllm")
    both.set_defaults(command=_compare)
    both.add_argument("--version", choices=VERSIONS, required=True, help="of mini_vllm")
    for command in (run, both):
        flags.add_trace(command)
        flags.add_limits(command)
        flags.add_clock(command)
    flags.add_outputs(run)
    random = commands.add_parser("fuzz", help="compare on random workloads; failing ones become tests")
    random.set_defaults(command=_fuzz)
    equal = f"({', '.join(fuzz.MUST_BE_EQUAL)})"
    random.add_argument("--version", choices=VERSIONS, action="append", help=equal)
    random.add_argument("--n", type=int, default=500, help="workloads for each version (%(default)s)")
    random.add_argument("--seed", type=int, default=0, help="of the workloads (%(default)s)")
    random.add_argument("--show", type=int, default=3, help="failing cases to shrink and print (%(default)s)")
    return parser


if __name__ == "__main__":
    console.run(main)
