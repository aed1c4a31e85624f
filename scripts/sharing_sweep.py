"""Replay a trace against prefix caches of many sizes and eviction policies.

In: a trace (Parquet or JSON Lines) and, for capacities in GiB, the model's KV size.
Out: one tidy CSV of hit rates by block size, policy and capacity; the last capacity is unbounded ("inf").
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.common import console
from vllm_lab.common.files import write_csv
from vllm_lab.sharing import kv_size
from vllm_lab.sharing.sweep import COLUMNS, POLICIES, sweep_rows
from vllm_lab.traces.trace import Trace


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--trace", required=True, help="NAME_trace.parquet or .jsonl; NAME goes into the table"
    )
    parser.add_argument(
        "--block-sizes", type=int, nargs="+", default=[16], help="tokens (a trace of blocks has its own)"
    )
    capacities = parser.add_mutually_exclusive_group(required=True)
    capacities.add_argument("--capacities-tokens", type=int, nargs="+", help="alike for every block size")
    capacities.add_argument(
        "--capacities-blocks", type=int, nargs="+", help="for a trace of blocks, whose block size is fixed"
    )
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=list(POLICIES))
    kv_size.add_flags(parser)
    parser.add_argument("--output", required=True, metavar="CSV")
    args = parser.parse_args(argv)

    name = Path(args.trace).stem.removesuffix("_trace")
    trace = Trace.read(args.trace)
    capacities_tokens = args.capacities_tokens or [
        blocks * trace.block_tokens for blocks in args.capacities_blocks
    ]
    rows = sweep_rows(
        trace, name, args.block_sizes, capacities_tokens, args.policies, kv_size.from_flags(args)
    )
    write_csv(args.output, COLUMNS, rows)


if __name__ == "__main__":
    console.run(main)
