"""Command line flags of everything that replays a trace: which requests, which limits, which files."""

import argparse
from typing import Any

from mini_vllm.clock import DEFAULT_CLOCK, parse_clock, read_cost_model
from mini_vllm.limits import Limits
from vllm_lab.common.flags import add_paths, spelt
from vllm_lab.replay.records import RunFiles
from vllm_lab.replay.replay import TracedRequest, requests_of, shortened
from vllm_lab.traces.trace import Trace

_DEFAULT = Limits(num_blocks=2)


def add_trace(parser: argparse.ArgumentParser) -> None:
    """Add the trace and how much of it is replayed."""
    add_paths(parser, trace="trace, .parquet or .jsonl")
    parser.add_argument("--limit", type=int, metavar="N", help="only the trace's first N rows")


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add every limit but the clock."""
    add_batch_limits(parser)
    add_memory(parser)
    for name in ("prefix_caching", "chunked_prefill"):
        parser.add_argument(spelt(name), action=argparse.BooleanOptionalAction, default=True)


def add_batch_limits(parser: argparse.ArgumentParser) -> None:
    """Add the block's size and the limits of what runs at once, which all replays of a trace share."""
    for name in ("block_size", "max_num_seqs", "max_num_batched_tokens"):
        unit = "requests" if name == "max_num_seqs" else "tokens"
        parser.add_argument(
            spelt(name), type=int, default=getattr(_DEFAULT, name), help=f"{unit} (%(default)s)"
        )
    parser.add_argument("--policy", choices=("fcfs", "priority"), default=_DEFAULT.policy)


def add_memory(parser: argparse.ArgumentParser) -> None:
    """Add the number of blocks."""
    parser.add_argument("--num-blocks", type=int, required=True, help="KV blocks, the null block among them")


def add_clock(parser: argparse.ArgumentParser) -> None:
    """Add the two forms of virtual time."""
    time = parser.add_mutually_exclusive_group()
    time.add_argument(
        "--clock", type=parse_clock, default=DEFAULT_CLOCK, metavar="BASE,PER_TOKEN,PER_REQUEST", help="s"
    )
    time.add_argument(
        "--cost-model", type=read_cost_model, dest="clock", metavar="FILE", help="fitted step times, JSON"
    )


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Add the files that every replay writes."""
    add_paths(parser, steps="steps as JSON Lines to write", requests="requests as CSV to write")


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add all flags of a run but its engine. --limit counts the requests that are short enough."""
    add_trace(parser)
    add_limits(parser)
    add_outputs(parser)
    add_paths(parser, record="record of limits and metrics as JSON to write")
    parser.add_argument("--events", metavar="TXT", help="decisions as lines for diff")
    parser.add_argument("--max-prompt-tokens", type=int, help="leave requests with longer prompts out")
    parser.add_argument("--max-output-tokens", type=int, help="cut longer outputs")
    parser.add_argument("--arrivals", choices=("trace", "at_once"), default="trace")


def requests_from(arguments: argparse.Namespace) -> list[TracedRequest]:
    """The requests that --trace and --limit name."""
    return requests_of(Trace.read(arguments.trace), arguments.limit)


def run_requests_from(arguments: argparse.Namespace) -> list[TracedRequest]:
    """The requests that the flags of `add_run` name, cut as they say."""
    requests = requests_of(Trace.read(arguments.trace))
    longest, most = arguments.max_prompt_tokens, arguments.max_output_tokens
    at_once = arguments.arrivals == "at_once"
    if longest or most or at_once:
        requests = shortened(requests, longest, most, time_scale=0.0 if at_once else 1.0)
    return requests[: arguments.limit or None]


def limits_from(arguments: argparse.Namespace, **given: Any) -> Limits:
    """The limits that the flags name and those `given`; vLLM's default for the others."""
    names = Limits.__dataclass_fields__.keys() & vars(arguments).keys()
    return Limits(**{name: getattr(arguments, name) for name in names} | given)


def files_of(arguments: argparse.Namespace) -> RunFiles:
    """Where the files go that `add_run` names."""
    return RunFiles(arguments.requests, arguments.record, arguments.steps, arguments.events)
