"""Join the sweeps of all traces into one table.

In: the CSV of each sweep. Out: hit_rates.csv, with their rows in the order given.
"""

from vllm_lab.common import console, files, flags
from vllm_lab.sharing.metrics import SWEEP_COLUMNS, read_sweep


def main(argv: list[str] | None = None) -> None:
    args = flags.parse(argv, __doc__, several={"sweep": "CSV of each sweep"}, output="hit_rates.csv")
    rows = (row.values() for path in args.sweep for row in read_sweep(path))
    files.write_csv(args.output, SWEEP_COLUMNS, rows)


if __name__ == "__main__":
    console.run(main)
