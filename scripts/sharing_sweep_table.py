"""Join the sweeps of all traces into one table.

In: the CSV of each sweep. Out: hit_rates.csv, with their rows in the order given.
"""

from pathlib import Path

from vllm_lab.common import console, flags
from vllm_lab.common.files import write_csv
from vllm_lab.sharing.metrics import SWEEP_COLUMNS, read_sweep


def main(argv: list[str] | None = None) -> None:
    parser = flags.parser_of(__doc__, output="hit_rates.csv")
    parser.add_argument("--sweep", type=Path, required=True, nargs="+", metavar="CSV")
    args = parser.parse_args(argv)
    write_csv(args.output, SWEEP_COLUMNS, (row.values() for path in args.sweep for row in read_sweep(path)))


if __name__ == "__main__":
    console.run(main)
