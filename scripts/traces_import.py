"""Other people's traces to ours.

In: a trace of Mooncake's or Bailian's, JSON Lines, also .gz or .xz.
Out: a trace of blocks in Parquet, and its part of the traces' summary as JSON.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.common import console, files
from vllm_lab.common.errors import LabError
from vllm_lab.traces import bailian, mooncake
from vllm_lab.traces.summary import summarise

READERS = {"mooncake": mooncake.read_mooncake, "bailian": bailian.read_bailian}
BLOCK_TOKENS = {"mooncake": mooncake.BLOCK_TOKENS, "bailian": bailian.BLOCK_TOKENS}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--format", choices=READERS, required=True)
    parser.add_argument("--input", type=Path, required=True, help="JSON Lines, also .gz or .xz")
    parser.add_argument(
        "--block-tokens",
        type=int,
        help="prompt tokens of a hash; the format's own if not given",
    )
    parser.add_argument("--output", type=Path, required=True, help="trace, .parquet")
    parser.add_argument("--summary", type=Path, required=True, help="this trace's part of the summary, .json")
    args = parser.parse_args(argv)

    block_tokens = BLOCK_TOKENS[args.format] if args.block_tokens is None else args.block_tokens
    if block_tokens < 1:
        raise LabError(f"--block-tokens is {block_tokens}, must be 1 or more")
    trace = READERS[args.format](args.input, block_tokens)
    trace.write(args.output)
    files.write_json(args.summary, summarise(trace) | {"block_tokens": block_tokens})
    console.log(f"{len(trace)} requests, {len(trace.stream_ids)} blocks")


if __name__ == "__main__":
    console.run(main)
