"""Join the summaries of the traces into one summary.json.

In: the parts that traces_make and traces_import wrote. Out: {"traces": {name: part}}.
"""

from vllm_lab.common import console, errors, files, flags


def main(argv: list[str] | None = None) -> None:
    parser = flags.parser_of(__doc__, output="summary.json")
    parser.add_argument("--part", action="append", required=True, metavar="NAME=FILE", help="once per trace")
    args = parser.parse_args(argv)

    parts = {}
    for text in args.part:
        name, separator, path = text.partition("=")
        if not separator or not name or name in parts:
            raise errors.LabError(f"--part {text}: write NAME=FILE, every name once")
        parts[name] = files.read_json(path)
    files.write_json(args.output, {"traces": parts})


if __name__ == "__main__":
    console.run(main)
