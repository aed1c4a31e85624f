"""Traces in the formats of other tools.

In: traces in Parquet, and the conversations and model directory that our own ones were made from.
Out: a file for each trace and format that fits it, and an index (JSON) with the commands that read them.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.common import console, files
from vllm_lab.common.errors import LabError
from vllm_lab.traces.exports.formats import FORMATS
from vllm_lab.traces.exports.index import entry
from vllm_lab.traces.exports.writers import Source, write
from vllm_lab.traces.prompts import Prompts
from vllm_lab.traces.streams import StreamMaker
from vllm_lab.traces.trace import Trace


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--traces",
        type=Path,
        nargs="+",
        required=True,
        metavar="NAME_trace.parquet",
        help="of tokens or blocks",
    )
    parser.add_argument("--formats", nargs="+", choices=FORMATS, required=True)
    parser.add_argument(
        "--block-size", type=int, required=True, help="tokens of a hash; a trace of blocks has its own"
    )
    parser.add_argument("--conversations", type=Path, required=True, help="conversations.parquet")
    parser.add_argument("--model-dir", type=Path, required=True, help="as given to tokens.py")
    parser.add_argument("--chat-template", required=True, help="as given to tokens.py")
    parser.add_argument("--default-system-prompt", choices=("keep", "drop"), required=True)
    parser.add_argument("--outdir", type=Path, required=True)
    parser.add_argument("--index", type=Path, required=True, help="index, .json")
    args = parser.parse_args(argv)

    if args.block_size < 1:
        raise LabError(f"--block-size is {args.block_size}, must be 1 or more")
    maker = StreamMaker(args.model_dir, args.chat_template, args.default_system_prompt)
    entries = []
    for path in args.traces:
        name, trace = path.stem.removesuffix("_trace"), Trace.read(path)
        if trace.unit == "block":
            source = Source(trace, trace.block_tokens)
        else:
            source = Source(trace, args.block_size, Prompts(trace, args.conversations, maker))
        for format in args.formats:
            if trace.unit == "block" and not FORMATS[format].imported:
                continue
            target = args.outdir / FORMATS[format].file(name)
            records = write(target, format, source)
            entries.append(entry(name, format, target, records, source))
            console.log(f"{target}: {records} {FORMATS[format].unit}")
    notes = {format: list(FORMATS[format].notes) for format in args.formats}
    files.write_json(args.index, {"exports": entries, "notes": notes})


if __name__ == "__main__":
    console.run(main)
