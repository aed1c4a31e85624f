"""Make one run of an experiment through a version of mini-vLLM, in virtual time.

In: a trace.
Out: steps (JSON Lines), requests (CSV), a record (JSON) and decisions as lines for `diff`.
"""

from mini_vllm.tools.versions import VERSIONS
from vllm_lab.common import console, flags
from vllm_lab.replay import mini
from vllm_lab.replay.flags import add_run, files_of, limits_from, run_requests_from
from vllm_lab.replay.records import simulated_record


def main(argv: list[str] | None = None) -> None:
    parser = flags.parser_of(__doc__)
    parser.add_argument("--engine", required=True, choices=VERSIONS)
    add_run(parser)
    args = parser.parse_args(argv)

    requests, limits = run_requests_from(args), limits_from(args)
    result = mini.run(args.engine, requests, limits)
    files_of(args).write(result, simulated_record(args.engine, requests, limits, result))
    end = f"ended in step {result.crash.step}: {result.crash.reason}" if result.crash else "went to the end"
    console.log(f"{args.engine}: {len(requests)} requests, {len(result.steps)} steps, {end}")


if __name__ == "__main__":
    console.run(main)
