"""Capture one run of a version of mini-vLLM with Nsight Systems.

In: a trace.
Out: nsys' report and its SQLite export; what was captured (JSON); the run's steps (JSON Lines), requests
(CSV), record (JSON) and decisions as lines. Without nsys, the report and the export are empty.
"""

import argparse

from mini_vllm.tools.versions import VERSIONS
from vllm_lab.common import console
from vllm_lab.nsight.capture import Program, capturing
from vllm_lab.replay import flags, mini, records


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--engine", choices=VERSIONS, required=True)


def run(args: argparse.Namespace) -> None:
    """Replay the requests once to warm up and once to be captured."""
    requests, limits = flags.run_requests_from(args), flags.limits_from(args)
    mini.run(args.engine, requests, limits)
    with capturing():
        result = mini.run(args.engine, requests, limits)
    flags.files_of(args).write(result, records.simulated_record(args.engine, requests, limits, result))


main = Program(__file__, __doc__, add_flags, run).main

if __name__ == "__main__":
    console.run(main)
