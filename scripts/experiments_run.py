"""One simulated run of an experiment: a version of mini_vllm, or vLLM's own scheduler, in virtual time.

In: a trace. Out: steps (JSON Lines), requests (CSV), a record (JSON) and decisions as lines for `diff`.
Where vLLM is asked for and not installed, the record says not_run and why.
"""

import argparse
from collections.abc import Sequence

from vllm_lab.common import console
from vllm_lab.common.errors import Unavailable
from vllm_lab.replay.flags import add_run, files_of, requests_from
from vllm_lab.replay.limit_flags import limits_from
from vllm_lab.replay.replay import ENGINES, replay
from vllm_lab.replay.run_file import simulated_record


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", required=True, choices=ENGINES)
    add_run(parser)
    args = parser.parse_args(argv)

    requests, limits, files = requests_from(args), limits_from(args), files_of(args)
    try:
        result = replay(args.engine, requests, limits)
    except Unavailable as error:
        console.log(f"not run: {error}")
        files.write_not_run(args.engine, limits, str(error))
        return
    record = simulated_record(args.engine, requests, limits, result)
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
