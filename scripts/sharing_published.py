"""Set Mooncake's published hit rates beside ours.

In: the sweep and the sharing statistics of Mooncake's conversation trace. Out: JSON.
"""

import argparse
from collections.abc import Sequence

from vllm_lab.common import console
from vllm_lab.common.files import read_json, write_json
from vllm_lab.sharing.mooncake import published_comparison
from vllm_lab.sharing.sweep_table import read_sweep


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sweep", required=True, metavar="CSV")
    parser.add_argument("--stats", required=True, metavar="JSON")
    parser.add_argument("--output", required=True, metavar="JSON")
    args = parser.parse_args(argv)
    write_json(args.output, published_comparison(read_sweep(args.sweep), read_json(args.stats)))


if __name__ == "__main__":
    console.run(main)
