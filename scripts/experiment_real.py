"""One real run of an experiment: vLLM whole, with its model, in real time, answering as the trace does.

In: a trace and a checkpoint. Out: steps (JSON Lines), requests (CSV), a record (JSON) and decisions as lines
for `diff`. Where vLLM is not installed, the record says not_run and why.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vllm_lab import console
from vllm_lab.engine.replay import run
from vllm_lab.engine.settings import EngineSettings
from vllm_lab.errors import NotInstalled
from vllm_lab.oracle.flags import limits_from
from vllm_lab.simulation.flags import add_run, files_of, requests_from
from vllm_lab.simulation.run_file import measured_record


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model-dir", type=Path, required=True, help="the checkpoint's folder")
    add_run(parser)
    args = parser.parse_args(argv)

    requests, limits, files = requests_from(args), limits_from(args), files_of(args)
    try:
        measured = run(requests, EngineSettings(args.model_dir, limits, threads=console.threads()))
    except NotInstalled as error:
        console.log(f"not run: {error}")
        files.write_not_run("vllm", limits, str(error))
        return
    record = measured_record(requests, limits, measured)
    files.write(measured.decisions, record)
    found = record["metrics"]
    console.log(
        f"vLLM {measured.environment['vllm']} on {measured.environment['device_name']}: "
        f"{found['finished']} of {found['requests']} requests finished, {found['steps']} steps, "
        f"{found['makespan']:.1f} s"
    )


if __name__ == "__main__":
    console.run(main)
