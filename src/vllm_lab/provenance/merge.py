"""Take a bundle in: into results/bundles/NAME, if it fits this project."""

import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from vllm_lab.common import config
from vllm_lab.common.errors import LabError
from vllm_lab.common.files import read_json, sha256_file
from vllm_lab.provenance import documents
from vllm_lab.provenance.documents import BUNDLES, SUFFIX, Document, identity_digest
from vllm_lab.provenance.pack import CONFIGURATION, read_manifest
from vllm_lab.provenance.verify import Hashes, load

# What may differ between the machines: where vLLM runs.
_OF_THE_MACHINE = "device"


def merge(root: Path, source: Path, name: str) -> Path:
    """Check the bundle `source` and unpack it; its folder. Nothing is written unless all of it fits.

    Raises LabError with everything that does not: a file's hash, an input, the code, the locks or the
    configuration that differ from this project's.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise LabError(f"{name!r}: no name for a bundle; give --name of letters, digits, - and _")
    folder = root / "results" / BUNDLES / name
    if folder.exists():
        raise LabError(f"{folder}: there already; remove it, or give another --name")
    with tempfile.TemporaryDirectory(prefix=".bundle-", dir=root / "results") as place:
        there = Path(place)
        manifest = _unpack(source, there)
        problems = [*_damaged(manifest, there), *_unfit(there, root)]
        if problems:
            listed = "".join(f"\n  {problem}" for problem in problems)
            raise LabError(f"{source}: not merged, {len(problems)} thing(s) do not fit:{listed}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        (there / "results").rename(folder)
    return folder


def _unpack(source: Path, there: Path) -> dict[str, str]:
    """Unpack the bundle below `there`; its manifest. Only files below results/ are let out."""
    try:
        with ZipFile(source) as bundle:
            manifest = read_manifest(bundle, source)
            for path in manifest:
                if not path.startswith("results/") or ".." in Path(path).parts:
                    raise LabError(f"{source}: it holds {path}, which is not below results/; refused")
                bundle.extract(path, there)
    except (OSError, BadZipFile, KeyError) as error:
        raise LabError(f"{source}: cannot be read as a bundle: {error}") from error
    return manifest


def _damaged(manifest: Mapping[str, str], there: Path) -> Iterator[str]:
    """What is not as it was packed, or not as its job wrote it."""
    for path, digest in manifest.items():
        if sha256_file(there / path) != digest:
            yield f"{path}: damaged: not the bytes that were packed; fetch the bundle again"
    covering = documents.collect(there)
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
    """What makes its jobs others than this project's would be."""
    jobs, _ = load(there, "results")
    here = Hashes(root)
    brought = Hashes(there)
    for job in jobs:
        if job.identity["kind"] != "measured":
            continue
        for path, digest in job.inputs.items():
            found = brought[path] or here[path]
            if found is None:
                yield f"{path}: rule {_at(job)} read it; it must be here too: make it, or give it"
            elif found != digest:
                yield f"{path}: rule {_at(job)} read other bytes than are here"
        for path, digest in {**job.identity["code"], **job.identity["environment"]}.items():
            if here[path] != digest:
                yield f"{path}: other code than here: rule {_at(job)}; measure again with this code"
    yield from _other_settings(there, root)


def _other_settings(there: Path, root: Path) -> Iterator[str]:
    if not (root / CONFIGURATION).is_file():
        yield f"{CONFIGURATION}: make it here first: snakemake --cores 1 {CONFIGURATION}"
        return
    ours, theirs = (config.flat(read_json(base / CONFIGURATION)) for base in (root, there))
    for key in sorted(ours.keys() | theirs.keys()):
        if key != _OF_THE_MACHINE and ours.get(key) != theirs.get(key):
            yield f"config: {key}: {theirs.get(key, 'absent')!r} there, {ours.get(key, 'absent')!r} here"


def _at(job: Document) -> str:
    commit = f" at commit {job.run['git']['commit'][:12]}" if job.run["git"] else ""
    return f"{job.identity['rule']} on {job.run['host']['name']}{commit}"
