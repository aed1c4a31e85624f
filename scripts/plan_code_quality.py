"""Count the size and complexity of Python code with radon.

In: folders or files of Python code.
Out: the test's document (JSON): lines, functions, classes, complexity, for each path and each file.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vllm_lab import console
from vllm_lab.bench import code_quality
from vllm_lab.files import write_json


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--paths", type=Path, nargs="+", required=True)
    parser.add_argument("--output", type=Path, required=True, help="JSON to write")
    args = parser.parse_args(argv)
    write_json(args.output, code_quality.account(args.paths))


if __name__ == "__main__":
    console.run(main)
