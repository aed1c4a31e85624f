"""Other people's traces to ours.

In: a Mooncake trace, JSON Lines, also .gz or .xz. Out: a trace of blocks in Parquet, and its part of the
traces' summary as JSON.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vllm_lab import console, files
from vllm_lab.errors import LabError
from vllm_lab.traces.mooncake import read_mooncake
from vllm_lab.traces.summary import summarise


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--format", choices=("mooncake",), required=True)
    parser.add_argument("--input", type=Path, required=True, help="JSON Lines, also .gz or .xz")
    parser.add_argument(
        "--block-tokens", type=int, default=512, help="prompt tokens that one hash stands for"
    )
    parser.add_argument("--output", type=Path, required=True, help="trace, .parquet")
    parser.add_argument("--summary", type=Path, required=True, help="this trace's part of the summary, .json")
    args = parser.parse_args(argv)

    if args.block_tokens < 1:
        raise LabError(f"--block-tokens is {args.block_tokens}, must be 1 or more")
    trace = read_mooncake(args.input, args.block_tokens)
    trace.write(args.output)
    files.write_json(args.summary, summarise(trace) | {"block_tokens": args.block_tokens})
    console.log(f"{len(trace)} requests, {len(trace.stream_ids)} blocks")


if __name__ == "__main__":
    console.run(main)
