"""Compare the published reference run with this project, under each definition that it leaves open.

In: the token streams and their summary, which has the default system prompt of the template.
Out: JSON (settings, notes, rows) and the rows as CSV.
"""

from vllm_lab.common import console, flags
from vllm_lab.common.errors import LabError
from vllm_lab.common.files import read_json, write_csv, write_json
from vllm_lab.sharing.reference import (
    REFERENCE_COLUMNS,
    Reference,
    closest_definition,
    conversations_used,
    notes,
)
from vllm_lab.traces.workload import StreamTable


def main(argv: list[str] | None = None) -> None:
    parser = flags.parser_of(
        __doc__,
        streams="streams.parquet",
        tokens_summary="summary of the streams, .json",
        output="comparison, .json",
        csv="its rows, .csv",
    )
    parser.add_argument("--samples", type=int, default=20, help="random samples for the bands")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)

    if args.samples < 1 or args.seed < 0:
        raise LabError("--samples must be above 0, --seed 0 or more")
    prompt = read_json(args.tokens_summary)["default_system_prompt"]
    reference = Reference(StreamTable.read(args.streams), prompt)
    rows = reference.compare(args.samples, args.seed)
    document = {
        "conversations": conversations_used(reference),
        "block_size": reference.block_size,
        "rate": reference.rate,
        "think_time_s": 0.0,
        "seed": args.seed,
        "samples": args.samples,
        "default_system_prompt": prompt["text"],
        "closest": closest_definition(rows, reference.block_size),
        "notes": notes(rows, reference.rate),
        "rows": rows,
    }
    write_json(args.output, document)
    write_csv(args.csv, REFERENCE_COLUMNS, (row.values() for row in rows))


if __name__ == "__main__":
    console.run(main)
