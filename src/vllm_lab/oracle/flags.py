"""The command line flags that the oracle and the real engine share: which requests, under which limits."""

from __future__ import annotations

import argparse
from pathlib import Path

from mini_vllm.limits import Limits
from vllm_lab.oracle.engine import TracedRequest, requests_of
from vllm_lab.traces.trace import Trace


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add the trace and every limit but the clock."""
    default = Limits(num_blocks=2)
    parser.add_argument("--trace", type=Path, required=True, help="trace, .parquet or .jsonl")
    parser.add_argument("--limit", type=int, metavar="N", help="only the trace's first N rows")
    parser.add_argument("--num-blocks", type=int, required=True, help="KV blocks, the null block among them")
    parser.add_argument("--block-size", type=int, default=default.block_size, help="tokens (%(default)s)")
    parser.add_argument("--max-num-seqs", type=int, default=default.max_num_seqs, help="(%(default)s)")
    parser.add_argument(
        "--max-num-batched-tokens", type=int, default=default.max_num_batched_tokens, help="(%(default)s)"
    )
    parser.add_argument("--policy", choices=("fcfs", "priority"), default=default.policy)
    parser.add_argument("--prefix-caching", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--chunked-prefill", action=argparse.BooleanOptionalAction, default=True)


def requests_from(arguments: argparse.Namespace) -> list[TracedRequest]:
    """The requests that the flags name."""
    return requests_of(Trace.read(arguments.trace), arguments.limit)


def limits_from(arguments: argparse.Namespace) -> Limits:
    """The limits that the flags name; the clock, where there is a flag for it."""
    names = Limits.__dataclass_fields__.keys() & vars(arguments).keys()
    return Limits(**{name: getattr(arguments, name) for name in names})


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Add the files that a run writes."""
    parser.add_argument("--steps", type=Path, required=True, help="steps as JSON Lines to write")
    parser.add_argument("--requests", type=Path, required=True, help="requests as CSV to write")
