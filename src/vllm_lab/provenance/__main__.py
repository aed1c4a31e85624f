"""Run jobs with their documents, and check, trace, adopt, pack and merge results.

All but `run` need only Python.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from vllm_lab.common import console
from vllm_lab.common.errors import LabError
from vllm_lab.provenance import packing
from vllm_lab.provenance.documents import KINDS, SUFFIX
from vllm_lab.provenance.upstream import code_of, describe
from vllm_lab.provenance.verify import adopt, verify


def main(argv: Sequence[str] | None = None) -> None:
    """Do what the command line says. Exit with the job's status, or with 1 if something does not fit."""
    parser = argparse.ArgumentParser(prog="python -m vllm_lab.provenance", description=__doc__)
    commands = parser.add_subparsers(dest="action", required=True)

    def command(do: Callable[[argparse.Namespace], None], help: str) -> argparse.ArgumentParser:
        """A command with the name of its function."""
        added = commands.add_parser(do.__name__.strip("_"), help=help)
        added.set_defaults(do=do)
        return added

    run = command(_run, "run one job and write its document (every rule does this)")
    run.add_argument("--wildcard", action="append", default=[], metavar="NAME=VALUE")
    run.add_argument("--kind", choices=KINDS, default="deterministic")
    run.add_argument("--inputs", nargs="*", default=[], help="all, with code and environment")
    run.add_argument("--environment", nargs="*", default=[])
    run.add_argument("--schemas", nargs="*", default=[], help="of the outputs")
    run.add_argument("--outputs", nargs="+", required=True, help="all; the document may be among them")
    run.add_argument("--document", required=True, help="RULE.prov.json, or RULE.WILDCARDS.prov.json")
    run.add_argument("--threads", type=int, default=1)
    run.add_argument("--log", required=True)
    run.add_argument("command", nargs="+", metavar="-- COMMAND")

    check = command(_verify, "recompute every hash, and name every file that does not fit")
    check.add_argument("results", type=Path, nargs="?", default="results", help="a folder, or an archive")

    show = command(_show, "print the chain from a file back to the raw data")
    show.add_argument("file", type=Path)

    command(_adopt, "in a fresh clone: keep copied results that fit their documents")

    pack = command(_pack, "on the machine that measured: write results into one file, a bundle")
    pack.add_argument("files", nargs="+", metavar="FILE", help="measured results, below results/")
    pack.add_argument("--output", type=Path, required=True, metavar="ZIP")

    merge = command(_merge, "at home: check a bundle and take its results in")
    merge.add_argument("bundle", type=Path, metavar="ZIP")
    merge.add_argument("--name", help="its name in the report (default: the file's name)")

    given = parser.parse_args(argv)
    given.do(given)


def _run(given: argparse.Namespace) -> None:
    """Sort the inputs and run the job. The code must be among them, or its changes would rerun nothing.

    Documents that a job reads, as the report does, are not part of its identity: they describe single runs.
    """
    from vllm_lab.provenance import record

    rule = Path(given.document).name.split(".")[0]
    code = code_of(given.command[1])
    special = {*code, *given.environment}
    if unlisted := sorted(special - set(given.inputs)):
        raise LabError(f"{unlisted[0]}: rule {rule} depends on it but does not list it as an input")
    job = record.Job(
        rule=rule,
        wildcards=dict(pair.split("=", 1) for pair in given.wildcard),
        kind=given.kind,
        inputs=[path for path in given.inputs if path not in special and not path.endswith(SUFFIX)],
        code=code,
        environment=sorted(given.environment),
        outputs=[path for path in given.outputs if path != given.document],
        document=given.document,
        schemas=given.schemas,
        threads=given.threads,
        log=given.log,
        command=given.command,
    )
    raise SystemExit(record.run(job))


def _verify(given: argparse.Namespace) -> None:
    results = given.results
    if results.is_file():
        findings, outside = packing.check_archive(results)
        for path in outside:
            print(f"{path}: given from outside the project, not in the archive (only its sha256 is)")
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


def _show(given: argparse.Namespace) -> None:
    print(describe(*_rooted(given.file)))


def _adopt(_: argparse.Namespace) -> None:
    if touched := adopt(Path()):
        print(f"{len(touched)} files fit their documents and are current now")


def _pack(given: argparse.Namespace) -> None:
    packed = packing.pack_bundle(Path(), given.files, given.output)
    command = f"python -m vllm_lab.provenance merge {given.output}"
    print(f"{given.output}: {len(packed)} files; at home: {command}")


def _merge(given: argparse.Namespace) -> None:
    name = given.name or given.bundle.name.split(".")[0]
    folder = packing.merge_bundle(Path(), given.bundle, name)
    print(f"{folder}: merged; snakemake --cores 1 report shows it in columns of its own")


def _rooted(path: Path) -> tuple[Path, str]:
    """Split a path into the project's root, which documents are relative to, and the path below it."""
    whole = path.resolve()
    for folder in (whole, *whole.parents):
        if folder.name == "results":
            return folder.parent, whole.relative_to(folder.parent).as_posix()
    raise LabError(f"{path}: not below a folder called results")


if __name__ == "__main__":
    console.run(main)
