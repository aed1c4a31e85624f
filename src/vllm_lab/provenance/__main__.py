"""Run jobs with their documents, and check, trace, adopt, pack and merge results.

`verify`, `show` and `adopt` need only Python.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.common import console
from vllm_lab.common.errors import LabError
from vllm_lab.provenance import archive
from vllm_lab.provenance.documents import KINDS, SUFFIX
from vllm_lab.provenance.upstream import code_of, describe
from vllm_lab.provenance.verify import adopt, verify


def main(argv: Sequence[str] | None = None) -> None:
    """Do what the command line says. Exit with the job's status, or with 1 if something does not fit."""
    parser = argparse.ArgumentParser(prog="python -m vllm_lab.provenance", description=__doc__)
    commands = parser.add_subparsers(dest="action", required=True)

    run = commands.add_parser("run", help="run one job and write its document (every rule does this)")
    run.add_argument("--wildcard", action="append", default=[], metavar="NAME=VALUE")
    run.add_argument("--kind", choices=KINDS, default="deterministic")
    run.add_argument("--inputs", nargs="*", default=[], help="all, with code and environment")
    run.add_argument("--environment", nargs="*", default=[])
    run.add_argument("--schemas", nargs="*", help="of the outputs; without it, all schemas among the inputs")
    run.add_argument("--outputs", nargs="+", required=True, help="all; the document may be among them")
    run.add_argument("--document", required=True, help="RULE.prov.json, or RULE.WILDCARDS.prov.json")
    run.add_argument("--threads", type=int, default=1)
    run.add_argument("--log", required=True)
    run.add_argument("command", nargs="+", metavar="-- COMMAND")

    check = commands.add_parser("verify", help="recompute every hash, and name every file that does not fit")
    check.add_argument("results", nargs="?", default="results", help="a folder of results, or an archive")

    show = commands.add_parser("show", help="print the chain from a file back to the raw data")
    show.add_argument("file")

    commands.add_parser("adopt", help="in a fresh clone: keep copied results that fit their documents")

    packing = commands.add_parser("pack", help="where it was measured: write results into one file, a bundle")
    packing.add_argument("files", nargs="+", metavar="FILE", help="measured results, below results/")
    packing.add_argument("--output", type=Path, required=True, metavar="ZIP")

    merging = commands.add_parser("merge", help="at home: check a bundle and take its results in")
    merging.add_argument("bundle", type=Path, metavar="ZIP")
    merging.add_argument("--name", help="its name in the report (default: the file's name)")

    given = parser.parse_args(argv)
    if given.action == "run":
        raise SystemExit(_run(given))
    if given.action == "verify":
        _verify(Path(given.results))
    elif given.action == "show":
        root, name = _rooted(Path(given.file))
        print(describe(root, name))
    elif given.action == "adopt":
        if touched := adopt(Path()):
            print(f"{len(touched)} files fit their documents and are current now")
    else:
        _carry(given)


def _carry(given: argparse.Namespace) -> None:
    """Pack a bundle, or merge it."""
    from vllm_lab.provenance import bundle

    if given.action == "pack":
        packed = bundle.pack(Path(), given.files, given.output)
        command = f"python -m vllm_lab.provenance merge {given.output}"
        print(f"{given.output}: {len(packed)} files; at home: {command}")
    else:
        folder = bundle.merge(Path(), given.bundle, given.name or given.bundle.name.split(".")[0])
        print(f"{folder}: merged; snakemake --cores 1 report shows it in columns of its own")


def _run(given: argparse.Namespace) -> int:
    """Sort the inputs and run the job. The code must be among them, or its changes would rerun nothing.

    Documents that a job reads, as the report does, are not part of its identity: they describe single runs.
    """
    from vllm_lab.provenance import record, schemas

    rule = Path(given.document).name.split(".")[0]
    code = code_of(given.command[1])
    unlisted = sorted({*code, *given.environment} - set(given.inputs))
    if unlisted:
        raise LabError(f"{unlisted[0]}: rule {rule} depends on it but does not list it as an input")
    special = {*code, *given.environment}
    read = [path for path in given.inputs if path.endswith(schemas.SUFFIX)]
    job = record.Job(
        rule=rule,
        wildcards=dict(pair.split("=", 1) for pair in given.wildcard),
        kind=given.kind,
        inputs=[path for path in given.inputs if path not in special and not path.endswith(SUFFIX)],
        code=code,
        environment=sorted(given.environment),
        outputs=[path for path in given.outputs if path != given.document],
        document=given.document,
        schemas=read if given.schemas is None else given.schemas,
        threads=given.threads,
        log=given.log,
        command=given.command,
    )
    return record.run(job)


def _verify(results: Path) -> None:
    if results.is_file():
        findings, outside = archive.check(results)
        for path in outside:
            print(f"{path}: given from outside the project, not in the archive; its sha256 is")
    elif results.is_dir():
        root, name = _rooted(results)
        findings = verify(root, results=name)
    else:
        raise LabError(f"{results}: no such folder; make results first: snakemake --cores 1 report")
    for finding in findings:
        print(finding)
    if findings:
        raise SystemExit(1)
    print(f"{results}: every file is covered by one document and every hash fits")


def _rooted(path: Path) -> tuple[Path, str]:
    """Split a path into the project's root, which documents are relative to, and the path below it."""
    whole = path.resolve()
    for folder in (whole, *whole.parents):
        if folder.name == "results":
            return folder.parent, whole.relative_to(folder.parent).as_posix()
    raise LabError(f"{path}: not below a folder called results")


if __name__ == "__main__":
    console.run(main)
