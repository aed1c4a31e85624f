"""Draw the runs of the plan's tests as points.

In: the tests' documents.
Out: for each a figure of the test's name, as PNG and SVG; where a test was not run, the figure says so.
"""

from pathlib import Path

from vllm_lab.common import console
from vllm_lab.common.files import read_json
from vllm_lab.common.flags import parser_of
from vllm_lab.plan.figures import draw


def main(argv: list[str] | None = None) -> None:
    parser = parser_of(__doc__, outdir="folder to write")
    parser.add_argument("--results", type=Path, nargs="+", required=True, help="the tests' JSON files")
    args = parser.parse_args(argv)
    for file in args.results:
        draw(read_json(file), args.outdir / file.stem)


if __name__ == "__main__":
    console.run(main)
