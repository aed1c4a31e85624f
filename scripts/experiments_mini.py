"""Make one run of an experiment through a version of mini-vLLM, in virtual time.

In: a trace.
Out: steps (JSON Lines), requests (CSV), a record (JSON) and decisions as lines for `diff`.
"""

from mini_vllm.tools.versions import VERSIONS
from vllm_lab.common import console
from vllm_lab.common.flags import parser_of
from vllm_lab.replay import flags, mini
from vllm_lab.replay.records import simulated_record


def main(argv: list[str] | None = None) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--engine", required=True, choices=VERSIONS)
    flags.add_run(parser)
    args = parser.parse_args(argv)

    requests, limits = flags.run_requests_from(args), flags.limits_from(args)
    result = mini.run(args.engine, requests, limits)
    record = simulated_record(args.engine, requests, limits, result)
    flags.files_of(args).write(result, record)
    console.log(f"{args.engine}: {record['metrics']['finished']} of {len(requests)} requests finished")
    if result.crash:
        console.log(f"the run ended in step {result.crash.step}: {result.crash.reason}")


if __name__ == "__main__":
    console.run(main)
