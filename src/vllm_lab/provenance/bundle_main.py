"""`python -m vllm_lab.bundle pack|merge`: measured results go from one machine to another's project."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.common import console
from vllm_lab.provenance.merge import merge
from vllm_lab.provenance.pack import pack


def main(argv: Sequence[str] | None = None) -> None:
    """Run in the project's root; what cannot be packed or merged is named, and nothing is left half done."""
    parser = argparse.ArgumentParser(prog="python -m vllm_lab.bundle", description=__doc__)
    commands = parser.add_subparsers(dest="action", required=True)

    packing = commands.add_parser("pack", help="where it was measured: write results into one file")
    packing.add_argument("files", nargs="+", metavar="FILE", help="measured results, below results/")
    packing.add_argument("--output", type=Path, required=True, metavar="ZIP")

    merging = commands.add_parser("merge", help="at home: check such a file and take its results in")
    merging.add_argument("bundle", type=Path, metavar="ZIP")
    merging.add_argument(
        "--name", help="what the report calls it: letters, digits, - and _ (default: the file's name)"
    )

    given = parser.parse_args(argv)
    if given.action == "pack":
        packed = pack(Path(), given.files, given.output)
        print(f"{given.output}: {len(packed)} files; at home: python -m vllm_lab.bundle merge {given.output}")
    else:
        folder = merge(Path(), given.bundle, given.name or given.bundle.name.split(".")[0])
        print(f"{folder}: merged; snakemake --cores 1 report shows it in columns of its own")


if __name__ == "__main__":
    console.run(main)
