"""Make one simulated run of an experiment: a version of mini_vllm, or vLLM's own scheduler, in virtual time.

In: a trace.
Out: steps (JSON Lines), requests (CSV), a record (JSON) and decisions as lines for `diff`. Where vLLM's
scheduler is asked for and not installed, the record has the status not_run and the reason.
"""

from mini_vllm.tools.versions import VERSIONS
from vllm_lab.common import console, flags
from vllm_lab.common.errors import Unavailable
from vllm_lab.oracle import engine as oracle
from vllm_lab.oracle.scheduler import vllm_version
from vllm_lab.replay import mini
from vllm_lab.replay.flags import add_run, files_of, limits_from, run_requests_from
from vllm_lab.replay.records import SCHEDULER, simulated_record


def main(argv: list[str] | None = None) -> None:
    parser = flags.parser_of(__doc__)
    parser.add_argument("--engine", required=True, choices=(*VERSIONS, SCHEDULER))
    add_run(parser)
    args = parser.parse_args(argv)

    requests, limits, files = run_requests_from(args), limits_from(args), files_of(args)
    try:
        if args.engine == SCHEDULER:
            result = oracle.run(requests, limits)
            version = {"vllm_version": vllm_version()}
        else:
            result = mini.run(args.engine, requests, limits)
            version = {}
    except Unavailable as error:
        console.log(f"not run: {error}")
        files.write_not_run(args.engine, limits, str(error))
        return
    record = simulated_record(args.engine, requests, limits, result, **version)
    files.write(result, record)
    found = record["metrics"]
    console.log(
        f"{args.engine}: {found['finished']} of {found['requests']} requests finished, "
        f"{found['steps']} steps, {found['preemptions']} preemptions"
    )
    if result.crash:
        console.log(f"the run ended in step {result.crash.step}: {result.crash.reason}")


if __name__ == "__main__":
    console.run(main)
