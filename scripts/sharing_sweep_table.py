"""Put the sweeps of all traces into one table.

In: the CSV of each sweep. Out: hit_rates.csv, their rows in the order given.
"""

import argparse
from collections.abc import Sequence

from vllm_lab.common import console
from vllm_lab.common.files import write_csv
from vllm_lab.sharing.sweep import COLUMNS
from vllm_lab.sharing.sweep_table import read_sweep


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sweep", required=True, nargs="+", metavar="CSV")
    parser.add_argument("--output", required=True, metavar="CSV")
    args = parser.parse_args(argv)
    write_csv(args.output, COLUMNS, (row.values() for path in args.sweep for row in read_sweep(path)))


if __name__ == "__main__":
    console.run(main)
