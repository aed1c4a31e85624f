"""Replay somebody else's trace, of block hashes, through one version of mini-vLLM, in virtual time.

In: a trace of blocks (Parquet).
Out: the requests (CSV), and a record of limits and metrics (JSON). No steps: they list every running request,
70 MB for Mooncake's 12,031. `python -m mini_vllm run --steps` writes them.
"""

import argparse
from collections.abc import Sequence

from mini_vllm.tools.trace import read_trace
from mini_vllm.tools.versions import VERSIONS
from vllm_lab.common import console, files
from vllm_lab.replay import limit_flags as flags
from vllm_lab.replay import mini
from vllm_lab.replay.records import write_requests
from vllm_lab.replay.run_file import simulated_record


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", choices=VERSIONS, required=True)
    flags.add_trace(parser)
    flags.add_clock(parser)
    parser.add_argument("--num-blocks", type=int, required=True, help="KV blocks, the null block among them")
    parser.add_argument("--requests", required=True, metavar="CSV")
    parser.add_argument("--record", required=True, metavar="JSON")
    args = parser.parse_args(argv)

    requests = read_trace(str(args.trace), args.limit)
    limits = flags.limits_from(args, prefix_caching=VERSIONS[args.version].caches)
    result = mini.run_rows(args.version, requests, limits)
    write_requests(args.requests, result.requests)
    files.write_json(args.record, simulated_record(args.version, requests, limits, result))
    console.log(f"{args.version}: {len(requests)} requests, {len(result.steps)} steps")


if __name__ == "__main__":
    console.run(main)
