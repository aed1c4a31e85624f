"""The command line flags of a run: a workload, limits, and where its files go."""

from __future__ import annotations

import argparse

from vllm_lab.oracle.engine import TracedRequest, requests_of
from vllm_lab.oracle.flags import add_limits
from vllm_lab.simulation.run_file import RunFiles
from vllm_lab.simulation.workload import Workload
from vllm_lab.traces.trace import Trace


def add_run(parser: argparse.ArgumentParser) -> None:
    """All flags but the one that names the engine; --limit counts the requests that are short enough."""
    add_limits(parser)
    parser.add_argument("--max-prompt-tokens", type=int, help="leave requests with longer prompts out")
    parser.add_argument("--max-output-tokens", type=int, help="cut longer outputs")
    parser.add_argument("--arrivals", choices=("trace", "at_once"), default="trace")
    parser.add_argument("--steps", required=True, metavar="JSONL", help="steps to write")
    parser.add_argument("--requests", required=True, metavar="CSV", help="requests to write")
    parser.add_argument("--record", required=True, metavar="JSON", help="what was run and what came of it")
    parser.add_argument("--events", required=True, metavar="TXT", help="decisions as lines for diff")


def requests_from(arguments: argparse.Namespace) -> list[TracedRequest]:
    """The workload's requests."""
    workload = Workload(
        arguments.limit or 0,
        arguments.max_prompt_tokens,
        arguments.max_output_tokens,
        arguments.arrivals == "at_once",
    )
    return workload.of(requests_of(Trace.read(arguments.trace)))


def files_of(arguments: argparse.Namespace) -> RunFiles:
    """Where the run's files go."""
    return RunFiles(arguments.steps, arguments.requests, arguments.record, arguments.events)
