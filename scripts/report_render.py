"""Write the report.

In: result files below results/, verified against their provenance documents.
Out: one self-contained HTML page, the same report as Markdown, its part on real vLLM by itself, and a flat
summary of its numbers (JSON).
"""

from pathlib import Path

from vllm_lab.common import console, errors, files, flags
from vllm_lab.report import render
from vllm_lab.report.report import compose, evaluation, summary
from vllm_lab.report.results import Results

TITLE = "What real conversations share"


def main(argv: list[str] | None = None) -> None:
    parser = flags.parser_of(
        __doc__,
        html="HTML page to write",
        markdown="Markdown to write",
        evaluation="Markdown to write: the benchmark plan and the load on the server",
        summary="JSON to write",
    )
    parser.add_argument("--inputs", nargs="+", required=True, metavar="FILE", help="named from the root")
    args = parser.parse_args(argv)

    report = compose(Results(Path(), args.inputs), TITLE)
    if not report.sections:
        raise errors.LabError("the report knows no part for any of the --inputs; give results of a rule")
    found = summary(report)
    files.write_text(args.html, render.page(report))
    files.write_text(args.markdown, render.markdown(report, args.markdown.parent.as_posix()))
    part = render.markdown(evaluation(report), args.evaluation.parent.as_posix(), varying=True)
    files.write_text(args.evaluation, part)
    files.write_json(args.summary, found)
    console.log(f"{args.html}: {len(report.sections)} sections, {len(found)} numbers")


if __name__ == "__main__":
    console.run(main)
