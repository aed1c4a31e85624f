"""Write PROGRESS.md: every experiment with its verdicts, the refuted predictions first.

In: the verdicts (JSON).
Out: Markdown.
"""

from vllm_lab.common import console, files, flags
from vllm_lab.experiments.progress import progress


def main(argv: list[str] | None = None) -> None:
    parser = flags.parser_of(__doc__, output="Markdown to write")
    parser.add_argument("--verdicts", nargs="*", default=[], metavar="JSON")
    args = parser.parse_args(argv)
    files.write_text(args.output, progress([files.read_json(path) for path in args.verdicts]))


if __name__ == "__main__":
    console.run(main)
