"""Import a trace of other people.

In: a trace in one of the incoming formats, JSON Lines, also .gz or .xz.
Out: a trace of blocks in Parquet, and its part of the summary of the traces as JSON.
"""

from collections.abc import Sequence

from vllm_lab.common import console, files, flags
from vllm_lab.traces.block_trace import import_trace
from vllm_lab.traces.formats import IMPORTS


def main(argv: Sequence[str] | None = None) -> None:
    parser = flags.parser_of(__doc__)
    parser.add_argument("--format", choices=IMPORTS, required=True)
    flags.add_paths(parser, input="JSON Lines, also .gz or .xz")
    parser.add_argument("--block-tokens", type=int, help="prompt tokens of a hash; else the format's own")
    flags.add_paths(parser, output="trace, .parquet", summary="this trace's part of the summary, .json")
    args = parser.parse_args(argv)

    trace = import_trace(args.format, args.input, args.block_tokens)
    trace.write(args.output)
    files.write_json(args.summary, trace.summary() | {"block_tokens": trace.block_tokens})
    console.log(f"{len(trace)} requests, {len(trace.stream_ids)} blocks")


if __name__ == "__main__":
    console.run(main)
