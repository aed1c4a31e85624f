"""Describe a finished run as an RO-Crate.

In: the report and, by its provenance document, all that it was made from; the configuration, CITATION.cff and
the project's files.
Out: the description (JSON-LD), the workflow that it describes, and the project's files as a zip file.
"""

import shutil
from pathlib import Path

import yaml

from vllm_lab.common import console, files, flags
from vllm_lab.provenance import crate, documents, upstream, verify


def main(argv: list[str] | None = None) -> None:
    parser = flags.parser_of(
        __doc__,
        settings="the resolved configuration (JSON)",
        citation="CITATION.cff",
        snakefile="the Snakefile",
        workflow="where the Snakefile is copied to",
        source="where the project's files are packed",
        crate="JSON-LD to write",
    )
    parser.add_argument("--report", nargs="+", required=True, metavar="FILE")
    parser.add_argument("--project", nargs="+", required=True, metavar="FILE", help="the project's own files")
    args = parser.parse_args(argv)

    verify.require(Path(), args.report, "the run is not described")
    with files.atomic_path(args.workflow) as partial:
        shutil.copyfile(args.snakefile, partial)
    files.write_zip(args.source, {path: Path(path) for path in args.project})
    jobs = upstream.Jobs(documents.collect(Path()), args.report).all
    described = crate.describe(
        Path(),
        jobs,
        args.report,
        source={path: files.sha256_file(path) for path in args.project},
        settings=files.read_json(args.settings),
        citation=yaml.safe_load(args.citation.read_text(encoding="utf-8")),
    )
    files.write_json(args.crate, described)
    console.log(f"{args.crate}: {len(jobs)} jobs, {len(described['@graph'])} entities")


if __name__ == "__main__":
    console.run(main)
