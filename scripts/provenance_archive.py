"""Pack the research object into one file.

In: results/ro-crate-metadata.json and, by their provenance documents, all that it tells of.
Out: one zip file that `python -m vllm_lab.provenance verify` checks anywhere.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.common import console
from vllm_lab.provenance.archive import pack


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, metavar="ZIP")
    args = parser.parse_args(argv)
    packed = pack(Path(), args.output)
    console.log(f"{args.output}: {len(packed)} files, {args.output.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    console.run(main)
