"""Capture one run of mini-vLLM or of real vLLM with Nsight Systems.

In: a trace, and a checkpoint for real vLLM.
Out: nsys' report and its SQLite export; what was captured (JSON); the run's steps (JSON Lines), requests
(CSV), record (JSON) and decisions as lines. Where nsys or vLLM is missing: the same files, status not_run,
and the report and the export empty.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.common import console
from vllm_lab.common.errors import LabError, Unavailable
from vllm_lab.common.files import read_json, write_json, write_text
from vllm_lab.nsight.nsys import Nsys
from vllm_lab.nsight.profiled import add_flags
from vllm_lab.replay.flags import files_of, limits_from


def main(argv: Sequence[str] | None = None) -> None:
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    own.add_argument("--report", type=Path, required=True, help=".nsys-rep to write")
    own.add_argument("--sqlite", type=Path, required=True, help="its export to write")
    own.add_argument("--capture", type=Path, required=True, help="JSON to write")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, parents=[own]
    )
    add_flags(parser)
    args = parser.parse_args(argv)
    _, of_the_run = own.parse_known_args(argv)

    cuda = args.device == "cuda"
    told = {"engine": args.engine, "device": args.device, "status": "measured", "reason": None}
    Path(args.record).unlink(missing_ok=True)
    try:
        nsys = Nsys.find()
        told |= {"nsys": nsys.version, "options": nsys.options(cuda)}
        command = [sys.executable, "-m", "vllm_lab.nsight.profiled", *of_the_run]
        nsys.capture(command, args.report, args.sqlite, cuda)
    except LabError as missing:
        if not isinstance(missing, Unavailable) and not Path(args.record).exists():
            raise  # the run failed, and not nsys after it
        reason = _reason(args, str(missing))
        console.log(f"not run: {reason}")
        told |= {"status": "not_run", "reason": reason}
        for file in (args.report, args.sqlite):  # to SQLite, no byte is a database without tables
            write_text(file, "")
    told |= {"report_bytes": args.report.stat().st_size, "sqlite_bytes": args.sqlite.stat().st_size}
    write_json(args.capture, told)


def _reason(args: argparse.Namespace, missing: str) -> str:
    """Why nothing was captured: the run's own reason, if it has one. Where nothing ran, writes its files."""
    if not Path(args.record).exists():
        files_of(args).write_not_run(args.engine, limits_from(args), missing)
    record = read_json(args.record)
    return record["reason"] if record["status"] == "not_run" else missing


if __name__ == "__main__":
    console.run(main)
