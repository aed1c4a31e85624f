"""The command line flags of a run: which requests, under which limits, and where its files go."""

from __future__ import annotations

import argparse

from vllm_lab.replay import limit_flags as flags
from vllm_lab.replay.requests import TracedRequest, requests_of
from vllm_lab.replay.run_file import RunFiles
from vllm_lab.replay.selection import shortened
from vllm_lab.traces.trace import Trace


def add_run(parser: argparse.ArgumentParser) -> None:
    """All flags but the one that names the engine; --limit counts the requests that are short enough."""
    flags.add_limits(parser)
    parser.add_argument("--max-prompt-tokens", type=int, help="leave requests with longer prompts out")
    parser.add_argument("--max-output-tokens", type=int, help="cut longer outputs")
    parser.add_argument("--arrivals", choices=("trace", "at_once"), default="trace")
    flags.add_outputs(parser)
    parser.add_argument("--record", required=True, metavar="JSON", help="what was run and what came of it")
    parser.add_argument("--events", metavar="TXT", help="decisions as lines for diff")


def requests_from(arguments: argparse.Namespace) -> list[TracedRequest]:
    """The requests that the flags name, cut as they say."""
    requests = requests_of(Trace.read(arguments.trace))
    longest, most, at_once = (
        arguments.max_prompt_tokens,
        arguments.max_output_tokens,
        arguments.arrivals == "at_once",
    )
    if longest or most or at_once:
        requests = shortened(requests, longest, most, time_scale=0.0 if at_once else 1.0)
    return requests[: arguments.limit or None]


def files_of(arguments: argparse.Namespace) -> RunFiles:
    """Where the run's files go."""
    return RunFiles(arguments.steps, arguments.requests, arguments.record, arguments.events)
