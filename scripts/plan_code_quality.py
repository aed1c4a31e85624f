"""Count the size and complexity of Python code with radon.

In: folders or files of Python code.
Out: the test's document (JSON): lines, functions, classes, complexity, for each path and each file.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.common import console
from vllm_lab.common.files import write_json
from vllm_lab.plan import code_quality


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
