"""Results in one zip file: an archive of everything, or a bundle that goes to another machine's project.

An archive holds the files in results/ that the research object describes, and is an RO-Crate itself. It
contains the project's code, locks and configuration as provenance/source.zip, so that they can be checked.

A bundle holds measured results with the documents of their jobs. `pack_bundle` writes it where they were
measured. `merge_bundle` checks it at home and unpacks it into results/bundles/NAME.
"""

import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from vllm_lab.common.errors import LabError
from vllm_lab.common.files import canonical_json, flat, read_json, sha256_file, write_zip
from vllm_lab.provenance.documents import BUNDLES, SUFFIX, Document, collect, identity_digest
from vllm_lab.provenance.upstream import upstream
from vllm_lab.provenance.verify import Finding, Hashes, load, require, verify

DESCRIPTION = "results/ro-crate-metadata.json"
SOURCE = "results/provenance/source.zip"
SCHEMA = "vllm-lab/bundle/1"
MANIFEST = "bundle.json"
CONFIGURATION = "results/provenance/configuration.json"
_OF_THE_MACHINE = "device"  # the one setting that may differ between the machines: where vLLM runs


def pack_archive(root: Path, output: Path) -> list[str]:
    """Pack the description and all that it is made from; the packed paths, sorted.

    Raises LabError with every finding when a packed file does not verify.
    """
    require(root, [DESCRIPTION], "nothing is packed")
    paths = _files_of(upstream([DESCRIPTION], collect(root)).documents)
    write_zip(output, {path.removeprefix("results/"): root / path for path in paths})
    return paths


def check_archive(archive: Path) -> tuple[list[Finding], list[str]]:
    """The findings in an archive, and the inputs that were given from outside the project.

    Those inputs were not packed, so only their hashes are known. Files at their paths here do not count.
    """
    with tempfile.TemporaryDirectory() as place:
        root = Path(place).resolve()
        try:
            with ZipFile(archive) as packed:
                packed.extractall(root / "results")
            with ZipFile(root / SOURCE) as source:
                source.extractall(root)
        except (OSError, BadZipFile) as error:
            raise LabError(
                f"{archive}: not an archive of results: {error}; make one: snakemake --cores 1 archive"
            ) from error
        findings = verify(root)
        read = {path for job in load(root)[0] for path in job.inputs}
        outside = sorted(path for path in read if not path.startswith("results/") and not _within(root, path))
    return [finding for finding in findings if finding.path not in outside], outside


def _within(root: Path, path: str) -> bool:
    place = (root / path).resolve()
    return place.is_relative_to(root) and place.is_file()


def pack_bundle(root: Path, files: Sequence[str], output: Path) -> list[str]:
    """Pack `files` and the measured results they were made from; the packed paths, sorted.

    Jobs go whole: all their outputs and their document. Results that are byte-identical on every machine are
    left out, since home has its own. The configuration goes along, so that it can be compared at home. Raises
    LabError when a file does not verify, was not measured, or came in a bundle itself.
    """
    names = [name for name in (Path(file).as_posix() for file in files) if not name.endswith(SUFFIX)]
    if not (root / CONFIGURATION).is_file():
        raise LabError(f"{CONFIGURATION}: does not exist yet; run: snakemake --cores 1 {CONFIGURATION}")
    require(root, [*names, CONFIGURATION], "nothing is packed")
    covering = collect(root)
    for name in names:
        _require_measured_here(name, covering)
    jobs = upstream(names, covering, follow=lambda job: not job.bundle and _is_measured(job)).documents
    paths = _files_of([*jobs, covering[CONFIGURATION]])
    manifest = {"schema": SCHEMA, "files": {path: sha256_file(root / path) for path in paths}}
    write_zip(output, {MANIFEST: canonical_json(manifest).encode(), **{path: root / path for path in paths}})
    return paths


def _files_of(jobs: Iterable[Document]) -> list[str]:
    """The outputs and documents of the jobs."""
    return sorted({path for job in jobs for path in (job.path, *job.outputs)})


def _is_measured(job: Document) -> bool:
    return job.identity["kind"] == "measured"


def _require_measured_here(name: str, covering: Mapping[str, Document]) -> None:
    if name not in covering:
        raise LabError(f"{name}: not a result; give paths below results/, relative to the project's root")
    job = covering[name]
    if job.bundle:
        raise LabError(f"{name}: came in bundle {job.bundle}; send that bundle instead")
    if not _is_measured(job):
        raise LabError(
            f"{name}: rule {job.identity['rule']} is {job.identity['kind']}, so any machine makes the same "
            "bytes: run it at home, and pack measured results only"
        )


def merge_bundle(root: Path, source: Path, name: str) -> Path:
    """Check the bundle `source` and unpack it; its folder. Nothing is written unless all of it fits.

    Raises LabError with everything that does not fit: a file's hash, or an input, the code, the locks or the
    configuration where they differ from this project's.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise LabError(f"{name!r}: not a name for a bundle; give a --name of letters, digits, - and _")
    folder = root / "results" / BUNDLES / name
    if folder.exists():
        raise LabError(f"{folder}: already exists; remove it, or give another --name")
    with tempfile.TemporaryDirectory(prefix=".bundle-", dir=root / "results") as place:
        there = Path(place)
        manifest = _unpack(source, there)
        problems = [*_damaged(manifest, there), *_unfit(there, root), *_other_settings(there, root)]
        if problems:
            listed = "".join(f"\n  {problem}" for problem in problems)
            raise LabError(f"{source}: not merged, {len(problems)} thing(s) do not fit:{listed}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        (there / "results").rename(folder)
    return folder


def _unpack(source: Path, there: Path) -> dict[str, str]:
    """Unpack the bundle below `there`; its manifest: path -> sha256. A path outside results/ is refused."""
    try:
        with ZipFile(source) as bundle:
            body = json.loads(bundle.read(MANIFEST))
            if not isinstance(body, dict) or body.get("schema") != SCHEMA:
                raise LabError(f"{source}: not a bundle of schema {SCHEMA}; pack it again with this version")
            for path in body["files"]:
                if not path.startswith("results/") or ".." in Path(path).parts:
                    raise LabError(f"{source}: refused: it contains {path}, which is not below results/")
                bundle.extract(path, there)
    except (OSError, BadZipFile, KeyError, ValueError) as error:
        command = "python -m vllm_lab.provenance pack"
        raise LabError(f"{source}: cannot be read as a bundle: {error}; make one with: {command}") from error
    return body["files"]


def _damaged(manifest: Mapping[str, str], there: Path) -> Iterator[str]:
    """The files that differ from what was packed, or from what their job wrote."""
    for path, digest in manifest.items():
        if sha256_file(there / path) != digest:
            yield f"{path}: damaged: not the bytes that were packed; fetch the bundle again"
    covering = collect(there)
    for path in manifest:
        if path not in covering and not path.endswith(SUFFIX):
            yield f"{path}: no document covers it; pack it again"
    for job in {document.path: document for document in covering.values()}.values():
        if identity_digest(job.identity) != job.digest:
            yield f"{job.path}: forged: its digest is not that of its identity; run its rule again there"
        for path, digest in job.outputs.items():
            if manifest.get(path) != digest:
                yield f"{path}: changed: not what rule {job.identity['rule']} wrote there; run it again there"


def _unfit(there: Path, root: Path) -> Iterator[str]:
    """The inputs and code of the bundle's measured jobs that differ from this project's."""
    here, packed = Hashes(root), Hashes(there)
    for job in filter(_is_measured, load(there)[0]):
        git = job.run["git"]
        commit = f" at commit {git['commit'][:12]}" if git else ""
        rule = f"rule {job.identity['rule']} on {job.run['host']['name']}{commit}"
        for path, digest in job.inputs.items():
            found = packed[path] or here[path]
            if found is None:
                yield f"{path}: {rule} read it; it must exist here too: make it, or provide it"
            elif found != digest:
                yield f"{path}: {rule} read a file with other bytes than the one here"
        for path, digest in {**job.identity["code"], **job.identity["environment"]}.items():
            if here[path] != digest:
                yield f"{path}: other code than here: {rule}; measure again with this code"


def _other_settings(there: Path, root: Path) -> Iterator[str]:
    if not (root / CONFIGURATION).is_file():
        yield f"{CONFIGURATION}: make it here first: snakemake --cores 1 {CONFIGURATION}"
        return
    own, other = (flat(read_json(base / CONFIGURATION)) for base in (root, there))
    for key in sorted(own.keys() | other.keys()):
        if key != _OF_THE_MACHINE and own.get(key) != other.get(key):
            yield f"config: {key}: {other.get(key, 'absent')!r} there, {own.get(key, 'absent')!r} here"
