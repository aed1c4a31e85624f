"""Measure the prefix sharing of a trace.

In: a trace (Parquet or JSON Lines) and, for figures in bytes, the summary of the model.
Out: statistics (JSON), and tables (CSV) of requests, distinct blocks, reuse gaps and the working set.
"""

from pathlib import Path

from vllm_lab.common import console, files, flags
from vllm_lab.sharing import metrics, stats
from vllm_lab.traces.trace import Trace


def main(argv: list[str] | None = None) -> None:
    parser = flags.parser_of(__doc__, trace="NAME_trace.parquet or .jsonl; NAME goes into the statistics")
    parser.add_argument("--block-size", type=int, required=True, help="tokens; not for a trace of blocks")
    parser.add_argument("--block-sizes", type=int, nargs="+", default=[], help="of further statistics")
    parser.add_argument("--windows", type=float, nargs="+", required=True, help="seconds, of the working set")
    parser.add_argument("--model-summary", type=Path, help="summary.json with kv_bytes_per_token")
    flags.add_paths(parser, stats="JSON", requests="CSV", blocks="CSV", reuse_gaps="CSV", working_set="CSV")
    args = parser.parse_args(argv)

    trace, name = Trace.read(args.trace), args.trace.stem.removesuffix("_trace")
    windows, kv_bytes = args.windows, stats.kv_bytes_of(args.model_summary)
    sizes = (args.block_size, args.block_sizes)
    found, sharing, tokens = stats.trace_stats(trace, name, *sizes, windows, kv_bytes)
    files.write_json(args.stats, found)
    files.write_csv(args.requests, metrics.REQUEST_COLUMNS, stats.request_rows(sharing, tokens))
    files.write_csv(args.blocks, metrics.BLOCK_COLUMNS, stats.block_rows(sharing))
    files.write_csv(args.reuse_gaps, metrics.GAP_COLUMNS, stats.gap_rows(sharing))
    rows = stats.working_set_rows(sharing, windows, kv_bytes)
    files.write_csv(args.working_set, metrics.WORKING_SET_COLUMNS, rows)
    saved = f"{found['metrics']['saved_prefill_fraction']:.2%} of the prompt tokens"
    console.log(f"{name}: {found['requests']} requests; {saved} are in blocks of an earlier prompt, too")


if __name__ == "__main__":
    console.run(main)
