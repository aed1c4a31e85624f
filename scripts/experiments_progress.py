"""Write PROGRESS.md: every experiment with its verdicts, the refuted predictions first.

In: the verdicts (JSON).
Out: Markdown.
"""

from vllm_lab.common import console
from vllm_lab.common.files import read_json, write_text
from vllm_lab.common.flags import parser_of
from vllm_lab.experiments.progress import progress


def main(argv: list[str] | None = None) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--verdicts", nargs="*", default=[], metavar="JSON")
    parser.add_argument("--output", required=True, metavar="MD")
    args = parser.parse_args(argv)

    write_text(args.output, progress([read_json(path) for path in args.verdicts]))


if __name__ == "__main__":
    console.run(main)
