"""Draw the runs of the plan's tests as points.

In: the tests' documents.
Out: for each a figure of the test's name, as PNG and SVG; where a test was not run, the figure says so.
"""

from vllm_lab.common import console, files, flags
from vllm_lab.plan.figures import draw


def main(argv: list[str] | None = None) -> None:
    args = flags.parse(argv, __doc__, several={"results": "the tests' JSON files"}, outdir="folder to write")
    for file in args.results:
        draw(files.read_json(file), args.outdir / file.stem)


if __name__ == "__main__":
    console.run(main)
