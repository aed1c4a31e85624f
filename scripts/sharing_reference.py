"""Set the published reference run beside ours, under each definition that it leaves open.

In: the token streams and their summary (which names the template's default system prompt).
Out: JSON (settings, notes, rows) and the rows as CSV.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.common import console
from vllm_lab.common.errors import LabError
from vllm_lab.common.files import read_json, write_csv, write_json
from vllm_lab.sharing.reference import COLUMNS, NOTES, Reference, closest_definition, conversations_used
from vllm_lab.traces.stream_table import StreamTable


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=Path, required=True, help="streams.parquet")
    parser.add_argument("--tokens-summary", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1000, help="conversations")
    parser.add_argument("--rate", type=float, default=2.0, help="conversations a second")
    parser.add_argument("--block-size", type=int, default=16, help="tokens")
    parser.add_argument("--samples", type=int, default=20, help="random samples for the bands")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", required=True, metavar="JSON")
    parser.add_argument("--csv", required=True)
    args = parser.parse_args(argv)

    if min(args.count, args.samples, args.block_size) < 1 or args.seed < 0 or args.rate <= 0:
        raise LabError("--count, --samples, --block-size and --rate must be above 0, --seed 0 or more")
    streams = StreamTable.read(args.streams)
    prompt = read_json(args.tokens_summary)["default_system_prompt"]
    reference = Reference(streams, prompt, args.count, args.rate, args.block_size)
    rows = reference.compare(args.samples, args.seed)
    document = {
        "conversations": conversations_used(reference),
        "block_size": args.block_size,
        "rate": args.rate,
        "think_time_s": 0.0,
        "seed": args.seed,
        "samples": args.samples,
        "default_system_prompt": prompt["text"],
        "closest": closest_definition(rows, args.block_size),
        "notes": NOTES,
        "rows": rows,
    }
    write_json(args.output, document)
    write_csv(args.csv, COLUMNS, (row.values() for row in rows))


if __name__ == "__main__":
    console.run(main)
