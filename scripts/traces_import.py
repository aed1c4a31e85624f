"""Import a trace of other people.

In: a trace in one of the incoming formats, JSON Lines, also .gz or .xz.
Out: a trace of blocks in Parquet, and its part of the summary of the traces as JSON.
"""

from vllm_lab.common import console, files, flags
from vllm_lab.traces.formats import IMPORTS


def main(argv: list[str] | None = None) -> None:
    parser = flags.parser_of(
        __doc__,
        input="JSON Lines, also .gz or .xz",
        output="trace, .parquet",
        summary="this trace's part of the summary, .json",
    )
    parser.add_argument("--format", choices=IMPORTS, required=True)
    parser.add_argument("--block-tokens", type=int, help="prompt tokens of a hash; else the format's own")
    args = parser.parse_args(argv)

    trace = IMPORTS[args.format].read(args.input, args.block_tokens)
    trace.write(args.output)
    files.write_json(args.summary, trace.summary() | {"block_tokens": trace.block_tokens})
    console.log(f"{len(trace)} requests, {len(trace.stream_ids)} blocks")


if __name__ == "__main__":
    console.run(main)
