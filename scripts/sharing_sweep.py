"""Replay a trace against prefix caches of many sizes and eviction policies.

In: a trace (Parquet or JSON Lines) and, for capacities in GiB, the summary of the model.
Out: one tidy CSV of hit rates by block size, policy and capacity; the last capacity is unbounded ("inf").
"""

from pathlib import Path

from vllm_lab.common import console, files, flags
from vllm_lab.sharing import metrics, policies, stats, sweep
from vllm_lab.traces.trace import Trace


def main(argv: list[str] | None = None) -> None:
    parser = flags.parser_of(__doc__, trace="NAME_trace.parquet or .jsonl", output="sweep of NAME, .csv")
    parser.add_argument("--block-sizes", type=int, nargs="+", default=[16], help="of a trace of tokens")
    capacities = parser.add_mutually_exclusive_group(required=True)
    capacities.add_argument("--capacities-tokens", type=int, nargs="+", help="the same for every block size")
    capacities.add_argument("--capacities-blocks", type=int, nargs="+", help="for a trace of blocks")
    parser.add_argument("--policies", nargs="+", choices=policies.POLICIES, default=list(policies.POLICIES))
    parser.add_argument("--model-summary", type=Path, help="summary.json with kv_bytes_per_token")
    args = parser.parse_args(argv)

    trace = Trace.read(args.trace)
    tokens = args.capacities_tokens or [blocks * trace.block_tokens for blocks in args.capacities_blocks]
    name, kv_bytes = args.trace.stem.removesuffix("_trace"), stats.kv_bytes_of(args.model_summary)
    rows = sweep.sweep_rows(trace, name, args.block_sizes, tokens, args.policies, kv_bytes)
    files.write_csv(args.output, metrics.SWEEP_COLUMNS, rows)


if __name__ == "__main__":
    console.run(main)
