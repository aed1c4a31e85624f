"""Write the report.

In: result files below results/, verified against their provenance documents.
Out: one self-contained HTML page, the same report as Markdown, the benchmark plan's part by itself, and a
flat summary of its numbers (JSON).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.common import console
from vllm_lab.common.errors import LabError
from vllm_lab.common.files import write_json, write_text
from vllm_lab.report import html, markdown
from vllm_lab.report.report import compose, evaluation, summary
from vllm_lab.report.results import Results


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--inputs", nargs="+", required=True, metavar="FILE", help="results to report on, from the root"
    )
    parser.add_argument("--title", default="What real conversations share", help="the page's title")
    parser.add_argument("--html", required=True, metavar="HTML")
    parser.add_argument("--markdown", required=True, metavar="MD")
    parser.add_argument("--evaluation", required=True, metavar="MD", help="the benchmark plan's part alone")
    parser.add_argument("--summary", required=True, metavar="JSON")
    args = parser.parse_args(argv)

    report = compose(Results(Path(), args.inputs), args.title)
    if not report.sections:
        raise LabError("none of the --inputs belongs to a part that the report knows; give results of a rule")
    found = summary(report)
    write_text(args.html, html.render(report))
    write_text(args.markdown, markdown.render(report, Path(args.markdown).parent.as_posix()))
    folder = Path(args.evaluation).parent.as_posix()
    write_text(args.evaluation, markdown.render(evaluation(report), folder, varying=True))
    write_json(args.summary, found)
    console.log(f"{args.html}: {len(report.sections)} sections, {len(found)} numbers")


if __name__ == "__main__":
    console.run(main)
