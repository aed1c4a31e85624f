"""Write measured results, with all their jobs' documents, into one file."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from zipfile import ZipFile

from vllm_lab.common.errors import LabError
from vllm_lab.common.files import canonical_json, sha256_file, write_zip
from vllm_lab.provenance.documents import SUFFIX, Document, collect
from vllm_lab.provenance.verify import require

SCHEMA = "vllm-lab/bundle/1"
MANIFEST = "bundle.json"
CONFIGURATION = "results/provenance/configuration.json"


def pack(root: Path, files: Sequence[str], output: Path) -> list[str]:
    """Pack `files` and the measured results they were made from; the packed paths, sorted.

    Jobs go whole: all their outputs and their document. What is byte-identical on every machine stays
    behind, since home has its own; the configuration goes, to be compared. Raises LabError when a file does
    not verify, was not measured, or came in a bundle itself.
    """
    names = [name for name in (Path(file).as_posix() for file in files) if not name.endswith(SUFFIX)]
    if not (root / CONFIGURATION).is_file():
        raise LabError(f"{CONFIGURATION}: not there yet; run: snakemake --cores 1 {CONFIGURATION}")
    require(root, [*names, CONFIGURATION], "nothing is packed")
    covering = collect(root)
    for name in names:
        _check(name, covering)
    jobs = _measured(names, covering)
    jobs[covering[CONFIGURATION].path] = covering[CONFIGURATION]
    paths = sorted({path for job in jobs.values() for path in (job.path, *job.outputs)})
    manifest = {"schema": SCHEMA, "files": {path: sha256_file(root / path) for path in paths}}
    write_zip(output, {MANIFEST: canonical_json(manifest).encode(), **{path: root / path for path in paths}})
    return paths


def read_manifest(bundle: ZipFile, source: Path) -> dict[str, str]:
    """Path -> sha256 of what a bundle holds; LabError when the file is not one."""
    try:
        body = json.loads(bundle.read(MANIFEST))
    except (KeyError, ValueError) as error:
        raise LabError(f"{source}: not a bundle: {error}; make one with: bundle pack") from error
    if not isinstance(body, dict) or body.get("schema") != SCHEMA:
        raise LabError(f"{source}: not a bundle of schema {SCHEMA}; pack it again with this version")
    return body["files"]


def _check(name: str, covering: Mapping[str, Document]) -> None:
    if name not in covering:
        raise LabError(f"{name}: no result; give files below results/, named from the project's root")
    document = covering[name]
    rule, kind = document.identity["rule"], document.identity["kind"]
    if document.bundle:
        raise LabError(f"{name}: came in bundle {document.bundle}; hand on that bundle instead")
    if kind != "measured":
        raise LabError(
            f"{name}: rule {rule} is {kind}, so any machine makes the same bytes: run it at home, and pack "
            "measured results only"
        )


def _measured(files: Iterable[str], covering: Mapping[str, Document]) -> dict[str, Document]:
    """The measured jobs that files were made by, at any depth, by their documents' paths."""
    found: dict[str, Document] = {}
    pending = list(files)
    while pending:
        job = covering.get(pending.pop())
        if job is None or job.path in found or job.bundle or job.identity["kind"] != "measured":
            continue
        found[job.path] = job
        pending += job.inputs
    return found
