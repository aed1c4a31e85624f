"""One real run of an experiment: vLLM whole, with its model, in real time, answering as the trace does.

In: a trace and a checkpoint. Out: steps (JSON Lines), requests (CSV), a record (JSON) and decisions as lines
for `diff`. Where vLLM is not installed, the record says not_run and why.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.common import console, host
from vllm_lab.common.errors import Unavailable
from vllm_lab.engines.engine import Engine
from vllm_lab.engines.measured import Measured
from vllm_lab.engines.replay import replay
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.replay.flags import add_run, files_of, requests_from
from vllm_lab.replay.limit_flags import limits_from
from vllm_lab.replay.run_file import measured_record


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model-dir", type=Path, required=True, help="the checkpoint's folder")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--repeats", type=int, default=3, help="each from an empty cache; the median is told")
    add_run(parser)
    args = parser.parse_args(argv)

    requests, limits, files = requests_from(args), limits_from(args), files_of(args)
    try:
        with Engine(EngineSettings(args.model_dir, limits, args.device, threads=host.threads())) as engine:
            repeats = [_told(replay(engine, requests)) for _ in range(args.repeats)]
    except Unavailable as error:
        console.log(f"not run: {error}")
        files.write_not_run("vllm", limits, str(error))
        return
    measured, record = measured_record(requests, limits, repeats)
    files.write(measured.decisions, record)


def _told(measured: Measured) -> Measured:
    """Say that a repeat is done: one takes half a minute on a small machine."""
    console.log(
        f"vLLM {measured.environment['vllm']} on {measured.environment['device_name']}: "
        f"{len(measured.requests)} requests, {len(measured.steps)} steps, "
        f"{sum(step.seconds for step in measured.steps):.1f} s in them"
    )
    return measured


if __name__ == "__main__":
    console.run(main)
