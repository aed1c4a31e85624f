"""Replay a trace through one version of mini-vLLM, in virtual time.

In: a trace of tokens, or an imported one of block hashes (Parquet or JSON Lines).
Out: the requests (CSV), a record of limits and metrics (JSON), and the steps (JSON Lines) if asked for: they
list every running request, 70 MB for Mooncake's 12,031. A run that v1_naive ends because no block is free is
a result like any other.
"""

from pathlib import Path

from mini_vllm.tools.trace import read_trace
from mini_vllm.tools.versions import VERSIONS
from vllm_lab.common import console
from vllm_lab.common.flags import parser_of
from vllm_lab.replay import flags, mini, records


def main(argv: list[str] | None = None) -> None:
    parser = parser_of(__doc__, requests="requests as CSV to write", record="record as JSON to write")
    parser.add_argument("--version", choices=VERSIONS, required=True)
    flags.add_trace(parser)
    flags.add_batch_limits(parser)
    flags.add_memory(parser)
    flags.add_clock(parser)
    parser.add_argument("--steps", type=Path, help="steps as JSON Lines to write")
    args = parser.parse_args(argv)

    requests = read_trace(str(args.trace), args.limit)
    limits = flags.limits_from(args, prefix_caching=VERSIONS[args.version].caches)
    result = mini.run_rows(args.version, requests, limits)
    record = records.simulated_record(args.version, requests, limits, result)
    records.RunFiles(args.requests, args.record, args.steps).write(result, record)
    end = f"ended in step {result.crash.step}: {result.crash.reason}" if result.crash else "went to the end"
    console.log(f"{args.version}: {len(requests)} requests, {len(result.steps)} steps, {end}")


if __name__ == "__main__":
    console.run(main)
