"""Write traces in the formats of other tools.

In: traces of tokens or blocks (Parquet), and the conversations and the checkpoint of those of tokens.
Out: a file for each trace and format that fits it, and an index (JSON) with the commands that read them.
"""

from pathlib import Path

from vllm_lab.common import console, files, flags
from vllm_lab.traces.formats import EXPORTS
from vllm_lab.traces.formats.format import Prompts, Source
from vllm_lab.traces.streams import StreamMaker
from vllm_lab.traces.trace import Trace


def main(argv: list[str] | None = None) -> None:
    parser = flags.parser_of(__doc__, outdir="folder of the exports", index="index, .json")
    parser.add_argument("--traces", type=Path, nargs="+", required=True, metavar="NAME_trace.parquet")
    parser.add_argument("--formats", nargs="+", choices=EXPORTS, required=True)
    hashed = "tokens of a hash; a trace of blocks has its own"
    parser.add_argument("--block-size", type=flags.positive, required=True, help=hashed)
    flags.add_rendering(parser)
    args = parser.parse_args(argv)

    maker = StreamMaker(args.model_dir, args.chat_template, args.default_system_prompt)
    entries = []
    for path in args.traces:
        name, trace = path.stem.removesuffix("_trace"), Trace.read(path)
        if trace.unit == "block":
            source = Source(trace, trace.block_tokens)
        else:
            source = Source(trace, args.block_size, Prompts(trace, args.conversations, maker))
        for format in args.formats:
            outgoing = EXPORTS[format]
            if trace.unit == "block" and not outgoing.of_blocks:
                continue
            target = args.outdir / outgoing.file(name)
            records = outgoing.write(target, source)
            entries.append(outgoing.entry(name, format, target, records, source))
            console.log(f"{target}: {records} {outgoing.unit}")
    notes = {format: list(EXPORTS[format].notes) for format in args.formats}
    files.write_json(args.index, {"exports": entries, "notes": notes})


if __name__ == "__main__":
    console.run(main)
