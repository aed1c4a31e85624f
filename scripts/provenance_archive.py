"""Pack the research object into one file.

In: results/ro-crate-metadata.json and, by their provenance documents, all that it describes.
Out: one zip file that `python -m vllm_lab.provenance verify` checks anywhere.
"""

from pathlib import Path

from vllm_lab.common import console, flags
from vllm_lab.provenance.packing import pack_archive


def main(argv: list[str] | None = None) -> None:
    args = flags.parse(argv, __doc__, output="zip file to write")
    packed = pack_archive(Path(), args.output)
    console.log(f"{args.output}: {len(packed)} files, {args.output.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    console.run(main)
