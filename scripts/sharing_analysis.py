"""Measure the prefix sharing of a trace.

In: a trace (Parquet or JSON Lines) and, for figures in bytes, the model's KV size.
Out: statistics (JSON), and tables (CSV) of requests, distinct blocks, reuse gaps and the working set.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.common import console
from vllm_lab.common.files import write_csv, write_json
from vllm_lab.sharing import kv_size, tables
from vllm_lab.sharing.metrics import trace_stats
from vllm_lab.traces.trace import Trace


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--trace", required=True, help="NAME_trace.parquet or .jsonl; NAME goes into the statistics"
    )
    parser.add_argument(
        "--block-size", type=int, required=True, help="tokens; of the tables (a trace of blocks has its own)"
    )
    parser.add_argument("--block-sizes", type=int, nargs="+", default=[], help="tokens; further statistics")
    parser.add_argument(
        "--windows", type=float, nargs="+", required=True, help="working-set windows, seconds"
    )
    kv_size.add_flags(parser)
    parser.add_argument("--stats", required=True, metavar="JSON")
    for table in ("requests", "blocks", "reuse-gaps", "working-set"):
        parser.add_argument(f"--{table}", required=True, metavar="CSV")
    args = parser.parse_args(argv)

    kv_bytes = kv_size.from_flags(args)
    name = Path(args.trace).stem.removesuffix("_trace")
    trace = Trace.read(args.trace)
    stats, sharing, tokens = trace_stats(
        trace, name, args.block_size, args.block_sizes, args.windows, kv_bytes
    )
    write_json(args.stats, stats)
    for path, table in (
        (args.requests, tables.request_table(sharing, tokens)),
        (args.blocks, tables.block_table(sharing)),
        (args.reuse_gaps, tables.gap_table(sharing)),
        (args.working_set, tables.working_set_table(sharing, args.windows, kv_bytes)),
    ):
        write_csv(path, table.header, table.rows)
    console.log(
        f"{name}: {stats['requests']} requests, {stats['prompt_tokens']} prompt tokens, "
        f"{stats['metrics']['saved_prefill_fraction']:.2%} of them in blocks that an earlier prompt has"
    )


if __name__ == "__main__":
    console.run(main)
