"""Replay a trace through one version of mini-vLLM, in virtual time.

In: a trace of tokens (Parquet or JSON Lines).
Out: the steps (JSON Lines), the requests (CSV), and a record of limits and metrics (JSON). A run that
v1_naive ends for want of a block is a result like any other.
"""

import argparse
from collections.abc import Sequence

from mini_vllm.tools.versions import VERSIONS
from vllm_lab.common import console
from vllm_lab.replay import limit_flags as flags
from vllm_lab.replay.replay import replay
from vllm_lab.replay.run_file import RunFiles, simulated_record


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", choices=VERSIONS, required=True)
    flags.add_trace(parser)
    flags.add_clock(parser)
    parser.add_argument("--num-blocks", type=int, required=True, help="KV blocks, the null block among them")
    flags.add_outputs(parser)
    parser.add_argument("--record", required=True, metavar="JSON")
    args = parser.parse_args(argv)

    requests = flags.requests_from(args)
    limits = flags.limits_from(args, prefix_caching=VERSIONS[args.version].caches)
    result = replay(args.version, requests, limits)
    record = simulated_record(args.version, requests, limits, result)
    RunFiles(args.steps, args.requests, args.record).write(result, record)
    end = f"ended in step {result.crash.step}: {result.crash.reason}" if result.crash else "went to the end"
    console.log(f"{args.version}: {len(requests)} requests, {len(result.steps)} steps, {end}")


if __name__ == "__main__":
    console.run(main)
