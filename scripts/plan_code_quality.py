"""Count the size and complexity of Python code with radon.

In: folders or files of Python code.
Out: the test's document (JSON): lines, functions, classes and complexity of each path and each file.
"""

from vllm_lab.common import console, files, flags
from vllm_lab.plan import code_quality


def main(argv: list[str] | None = None) -> None:
    several = {"paths": "folders or files to count"}
    args = flags.parse(argv, __doc__, several=several, output="JSON to write")
    files.write_json(args.output, code_quality.count(args.paths))


if __name__ == "__main__":
    console.run(main)
