"""The command line flags that replays and the real engine share: which requests, under which limits."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from mini_vllm.clock import DEFAULT_CLOCK, parse_clock, read_cost_model
from mini_vllm.limits import Limits
from vllm_lab.replay.requests import TracedRequest, requests_of
from vllm_lab.traces.trace import Trace

_DEFAULT = Limits(num_blocks=2)


def add_trace(parser: argparse.ArgumentParser) -> None:
    """Add the trace, and the limits that all replays of it share."""
    parser.add_argument("--trace", type=Path, required=True, help="trace, .parquet or .jsonl")
    parser.add_argument("--limit", type=int, metavar="N", help="only the trace's first N rows")
    _add_shared_limits(parser)


def _add_shared_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--block-size", type=int, default=_DEFAULT.block_size, help="tokens (%(default)s)")
    parser.add_argument("--max-num-seqs", type=int, default=_DEFAULT.max_num_seqs, help="(%(default)s)")
    parser.add_argument(
        "--max-num-batched-tokens", type=int, default=_DEFAULT.max_num_batched_tokens, help="(%(default)s)"
    )
    parser.add_argument("--policy", choices=("fcfs", "priority"), default=_DEFAULT.policy)


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add the trace and every limit but the clock."""
    add_trace(parser)
    _add_memory(parser)


def add_server_limits(parser: argparse.ArgumentParser) -> None:
    """Add every limit but the clock, for what needs no trace."""
    _add_shared_limits(parser)
    _add_memory(parser)


def _add_memory(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--num-blocks", type=int, required=True, help="KV blocks, the null block among them")
    parser.add_argument("--prefix-caching", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--chunked-prefill", action=argparse.BooleanOptionalAction, default=True)


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
    """Add the files that a run writes."""
    parser.add_argument("--steps", type=Path, required=True, help="steps as JSON Lines to write")
    parser.add_argument("--requests", type=Path, required=True, help="requests as CSV to write")


def requests_from(arguments: argparse.Namespace) -> list[TracedRequest]:
    """The requests that the flags name."""
    return requests_of(Trace.read(arguments.trace), arguments.limit)


def limits_from(arguments: argparse.Namespace, **given: Any) -> Limits:
    """The limits that the flags name, and those `given`; vLLM's default for the others."""
    names = Limits.__dataclass_fields__.keys() & vars(arguments).keys()
    return Limits(**{name: getattr(arguments, name) for name in names} | given)
