"""Make one run of an experiment through vLLM's own scheduler, in virtual time.

In: a trace.
Out: steps (JSON Lines), requests (CSV), a record (JSON) and decisions as lines for `diff`.
"""

from vllm_lab.common import console, errors, flags
from vllm_lab.oracle import engine
from vllm_lab.oracle.scheduler import vllm_version
from vllm_lab.replay.flags import add_run, files_of, limits_from, run_requests_from
from vllm_lab.replay.records import SCHEDULER, simulated_record


def main(argv: list[str] | None = None) -> None:
    args = flags.parse(argv, __doc__, add_run)
    requests, limits, files = run_requests_from(args), limits_from(args), files_of(args)
    try:
        version, result = vllm_version(), engine.run(requests, limits)
    except errors.Unavailable as error:
        console.log(f"not run: {error}")
        files.write_not_run(SCHEDULER, limits, str(error))
        return
    files.write(result, simulated_record(SCHEDULER, requests, limits, result, vllm_version=version))
    console.log(f"{SCHEDULER}: {len(requests)} requests, {len(result.steps)} steps")


if __name__ == "__main__":
    console.run(main)
