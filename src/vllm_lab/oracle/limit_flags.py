"""Command line flags for a replay's trace, limits and clock; a memory's size is each command's own."""

from __future__ import annotations

import argparse
from pathlib import Path

from mini_vllm.clock import parse_clock, read_cost_model
from mini_vllm.limits import Limits
from vllm_lab.oracle.engine import TracedRequest, requests_of
from vllm_lab.traces.trace import Trace

_NAMES = ("block_size", "max_num_seqs", "max_num_batched_tokens", "policy", "clock")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that `requests` and `limits` read."""
    default = Limits(num_blocks=2)
    parser.add_argument("--trace", type=Path, required=True, help="trace, .parquet or .jsonl")
    parser.add_argument("--limit", type=int, metavar="N", help="only the trace's first N rows")
    parser.add_argument("--block-size", type=int, default=default.block_size, help="tokens (%(default)s)")
    parser.add_argument("--max-num-seqs", type=int, default=default.max_num_seqs, help="(%(default)s)")
    parser.add_argument(
        "--max-num-batched-tokens", type=int, default=default.max_num_batched_tokens, help="(%(default)s)"
    )
    parser.add_argument("--policy", choices=("fcfs", "priority"), default=default.policy)
    time = parser.add_mutually_exclusive_group()
    time.add_argument(
        "--clock", type=parse_clock, default=default.clock, metavar="BASE,PER_TOKEN,PER_REQUEST", help="s"
    )
    time.add_argument(
        "--cost-model", type=read_cost_model, dest="clock", metavar="FILE", help="fitted step times, JSON"
    )


def requests(args: argparse.Namespace) -> list[TracedRequest]:
    """The requests that the flags ask for."""
    return requests_of(Trace.read(args.trace), args.limit)


def limits(args: argparse.Namespace, num_blocks: int, **more: bool) -> Limits:
    """The flags' limits, with `num_blocks`; `more`: prefix_caching and chunked_prefill."""
    return Limits(num_blocks=num_blocks, **{name: getattr(args, name) for name in _NAMES}, **more)
