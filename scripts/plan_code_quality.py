"""Count the size and complexity of Python code with radon.

In: folders or files of Python code.
Out: the test's document (JSON): lines, functions, classes and complexity of each path and each file.
"""

from pathlib import Path

from vllm_lab.common import console
from vllm_lab.common.files import write_json
from vllm_lab.common.flags import parser_of
from vllm_lab.plan import code_quality


def main(argv: list[str] | None = None) -> None:
    parser = parser_of(__doc__, output="JSON to write")
    parser.add_argument("--paths", type=Path, nargs="+", required=True, help="folders or files to count")
    args = parser.parse_args(argv)
    write_json(args.output, code_quality.count(args.paths))


if __name__ == "__main__":
    console.run(main)
