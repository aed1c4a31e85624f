"""The traces' summaries, one file each, to one summary.json.

In: the parts that trace and import_trace wrote. Out: {"traces": {name: part}}.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.common import console, files
from vllm_lab.common.errors import LabError


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--part", action="append", required=True, metavar="NAME=FILE", help="once for each trace"
    )
    parser.add_argument("--output", type=Path, required=True, help="summary.json")
    args = parser.parse_args(argv)

    parts = {}
    for text in args.part:
        name, separator, path = text.partition("=")
        if not separator or not name or name in parts:
            raise LabError(f"--part {text}: write NAME=FILE, every name once")
        parts[name] = files.read_json(path)
    files.write_json(args.output, {"traces": parts})


if __name__ == "__main__":
    console.run(main)
