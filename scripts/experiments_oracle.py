"""Make one run of an experiment through vLLM's own scheduler, in virtual time.

In: a trace.
Out: steps (JSON Lines), requests (CSV), a record (JSON) and decisions as lines for `diff`. Where vLLM is not
installed, the record has the status not_run and the reason.
"""

from vllm_lab.common import console
from vllm_lab.common.errors import Unavailable
from vllm_lab.common.flags import parser_of
from vllm_lab.oracle import engine
from vllm_lab.oracle.scheduler import vllm_version
from vllm_lab.replay import flags
from vllm_lab.replay.records import SCHEDULER, simulated_record


def main(argv: list[str] | None = None) -> None:
    parser = parser_of(__doc__)
    flags.add_run(parser)
    args = parser.parse_args(argv)

    requests, limits, files = flags.run_requests_from(args), flags.limits_from(args), flags.files_of(args)
    try:
        result = engine.run(requests, limits)
        record = simulated_record(SCHEDULER, requests, limits, result, vllm_version=vllm_version())
    except Unavailable as error:
        console.log(f"not run: {error}")
        files.write_not_run(SCHEDULER, limits, str(error))
        return
    files.write(result, record)
    console.log(f"{SCHEDULER}: {record['metrics']['finished']} of {len(requests)} requests finished")


if __name__ == "__main__":
    console.run(main)
