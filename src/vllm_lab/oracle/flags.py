"""The command line flags of a replay, which `python -m mini_vllm run` has too."""

from __future__ import annotations

import argparse
from pathlib import Path

from mini_vllm.clock import parse_clock, read_cost_model
from mini_vllm.limits import Limits


def add_limits(parser: argparse.ArgumentParser) -> None:
    """The trace and vLLM's limits, by vLLM's names."""
    default = Limits(num_blocks=2)
    switch = argparse.BooleanOptionalAction
    parser.add_argument("--trace", type=Path, required=True, help="trace, .parquet or .jsonl")
    parser.add_argument("--limit", type=int, metavar="N", help="only the trace's first N rows")
    parser.add_argument("--num-blocks", type=int, required=True, help="KV blocks, the null block among them")
    parser.add_argument("--block-size", type=int, default=default.block_size, help="tokens (%(default)s)")
    parser.add_argument("--max-num-seqs", type=int, default=default.max_num_seqs, help="(%(default)s)")
    parser.add_argument(
        "--max-num-batched-tokens", type=int, default=default.max_num_batched_tokens, help="(%(default)s)"
    )
    parser.add_argument("--policy", choices=("fcfs", "priority"), default=default.policy)
    parser.add_argument("--prefix-caching", action=switch, default=True)
    parser.add_argument("--chunked-prefill", action=switch, default=True)
    time = parser.add_mutually_exclusive_group()
    time.add_argument(
        "--clock", type=parse_clock, default=default.clock, metavar="BASE,PER_TOKEN,PER_REQUEST", help="s"
    )
    time.add_argument(
        "--cost-model", type=read_cost_model, dest="clock", metavar="FILE", help="fitted step times, JSON"
    )


def limits_of(arguments: argparse.Namespace) -> Limits:
    """What `add_limits` made of the command line. MiniError where vLLM would refuse it."""
    return Limits(**{name: getattr(arguments, name) for name in Limits.__dataclass_fields__})
