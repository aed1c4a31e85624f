"""Compare the published reference run with this project, under each definition that it leaves open.

In: the token streams and their summary, which has the default system prompt of the template.
Out: JSON (settings, notes, rows) and the rows as CSV.
"""

from vllm_lab.common import console, errors, files, flags
from vllm_lab.sharing import metrics, published
from vllm_lab.traces.workload import StreamTable


def main(argv: list[str] | None = None) -> None:
    parser = flags.parser_of(__doc__, streams="streams.parquet", tokens_summary="their summary, .json")
    flags.add_paths(parser, output="comparison, .json", csv="its rows, .csv")
    parser.add_argument("--samples", type=int, default=20, help="random samples for the bands")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)

    if args.samples < 1 or args.seed < 0:
        raise errors.LabError("--samples must be above 0, --seed 0 or more")
    prompt = files.read_json(args.tokens_summary)["default_system_prompt"]
    run = published.Reference(StreamTable.read(args.streams), prompt)
    rows = run.compare(args.samples, args.seed)
    document = {
        "conversations": published.conversations_used(run),
        "block_size": run.block_size,
        "rate": run.rate,
        "think_time_s": 0.0,
        "seed": args.seed,
        "samples": args.samples,
        "default_system_prompt": prompt["text"],
        "closest": published.closest_definition(rows, run.block_size),
        "notes": published.notes(rows, run.rate),
        "rows": rows,
    }
    files.write_json(args.output, document)
    files.write_csv(args.csv, metrics.REFERENCE_COLUMNS, (row.values() for row in rows))


if __name__ == "__main__":
    console.run(main)
