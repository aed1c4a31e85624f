"""Results checked against their documents: every hash is recomputed, every file has a document."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vllm_lab.common.errors import LabError
from vllm_lab.common.files import sha256_file
from vllm_lab.provenance import documents
from vllm_lab.provenance.documents import Document, identity_digest
from vllm_lab.provenance.upstream import upstream

# Logs and timings record a run; they are not results. The README is the map of results/.
UNCOVERED = ("logs", "timings", "README.md")


@dataclass(frozen=True, order=True)
class Finding:
    """One file that does not fit."""

    path: str  # relative to the root
    kind: str  # missing, changed, stale, uncovered, covered twice; of a document: forged, unreadable
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.kind}: {self.message}"


def verify(root: Path, files: Sequence[str] | None = None, results: str = "results") -> list[Finding]:
    """All findings below `root`/`results`, sorted; an empty list means that everything fits.

    With `files` (paths relative to root) only these and all that they were made from are checked.
    """
    loaded, findings = load(root, results)
    covering: dict[str, Document] = {}
    for document in loaded:
        for output in document.outputs:
            if output in covering:
                other = covering[output].path
                findings.append(Finding(output, "covered twice", f"by {other} and {document.path}"))
            covering[output] = document
    if files is None:
        checked, present = loaded, _files_below(root, results)
    else:
        behind = upstream(files, covering)
        checked = behind.documents
        present = [path for path in behind.given if path.startswith(f"{results}/")]
        named = {document.path for document in checked} | set(files)
        findings = [finding for finding in findings if finding.path in named]
    advice = "no document covers it; delete it, or make it with a rule"
    findings += [
        Finding(path, "uncovered", advice)
        for path in present
        if path not in covering and not path.endswith(documents.SUFFIX)
    ]
    hashes = Hashes(root)
    for document in checked:
        findings += _check(document, hashes)
    return sorted(set(findings))


def require(root: Path, files: Sequence[str], consequence: str) -> None:
    """Raise LabError with every finding unless `files` and all they were made from verify.

    `consequence` is what does not happen in that case ("no report is written").
    """
    findings = verify(root, files=files)
    if findings:
        listed = "".join(f"\n  {finding}" for finding in findings)
        raise LabError(
            f"{len(findings)} finding(s) against the given files, so {consequence}:{listed}\n"
            "Rerun the rules named, or delete the files named and run: snakemake --cores 1 report"
        )


def load(root: Path, results: str = "results") -> tuple[list[Document], list[Finding]]:
    """All readable documents, and a finding for each that is not."""
    loaded, findings = [], []
    for path in documents.find(root / results):
        try:
            loaded.append(documents.read(path, root))
        except LabError as error:
            findings.append(Finding(path.relative_to(root).as_posix(), "unreadable", str(error)))
    return loaded, findings


def adopt(root: Path) -> list[str]:
    """In a fresh clone, keep results current: give the present time to the files of each job that verifies.

    Snakemake remembers the contents of a job's inputs in .snakemake. Where that folder is lost (results were
    copied into a new clone), Snakemake knows only the files' times, and every file of a clone is new. The
    documents know the contents, so Snakemake makes nothing twice afterwards.

    Returns the touched paths, sorted. Does nothing where Snakemake has its own memory, and where no source is
    newer than a file made from it.
    """
    if any((root / ".snakemake/metadata").glob("*")):
        return []
    loaded, _ = load(root)
    found = [document for document in loaded if not document.bundle]
    if not any(_outdated(root, document) for document in found):
        return []
    hashes = Hashes(root)
    intact = [document for document in found if not _check(document, hashes)]
    now = time.time_ns()
    touched = sorted(path for document in intact for path in _made(root, document))
    for path in touched:
        os.utime(root / path, ns=(now, now))
    return touched


def _made(root: Path, document: Document) -> list[str]:
    """What the job wrote: its outputs, its document and its timing. Snakemake looks at the times of all."""
    timing = f"results/timings/{Path(document.path).name.removesuffix(documents.SUFFIX)}.tsv"
    return [path for path in (*document.outputs, document.path, timing) if (root / path).exists()]


def _outdated(root: Path, document: Document) -> bool:
    oldest = min((root / path).stat().st_mtime_ns for path in _made(root, document))
    sources = (root / path for path in document.sources)
    return any(path.stat().st_mtime_ns > oldest for path in sources if path.exists())


class Hashes(dict[str, str | None]):
    """sha256 of files below a root, each computed once; None for a missing file."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __missing__(self, path: str) -> str | None:
        file = self._root / path
        self[path] = sha256_file(file) if file.is_file() else None
        return self[path]


def _check(document: Document, hashes: Hashes) -> list[Finding]:
    findings = []
    if identity_digest(document.identity) != document.digest:
        findings.append(
            Finding(document.path, "forged", "its digest is not that of its identity; rerun its rule")
        )
    rule = document.identity["rule"]
    for path, expected in document.outputs.items():
        if hashes[path] is None:
            findings.append(Finding(path, "missing", f"rule {rule} made it; {_remake(document, path)}"))
        elif hashes[path] != expected:
            remade = f"delete it and {_remake(document, path)}"
            findings.append(Finding(path, "changed", f"rule {rule} wrote other bytes; {remade}"))
    again = f"measure again there, or remove bundle {document.bundle}" if document.bundle else "rerun it"
    for path, expected in document.sources.items():
        if hashes[path] is None:
            findings.append(Finding(path, "missing", f"rule {rule} read it ({document.path})"))
        elif hashes[path] != expected:
            findings.append(
                Finding(path, "stale", f"changed since rule {rule} read it ({document.path}); {again}")
            )
    return findings


def _remake(document: Document, path: str) -> str:
    if document.bundle:
        return f"merge bundle {document.bundle} again"
    return f"run: snakemake --cores 1 {path}"


def _files_below(root: Path, results: str) -> list[str]:
    base = root / results
    paths = (path.relative_to(base) for path in documents.find(base, "*"))
    return [f"{results}/{path.as_posix()}" for path in paths if path.parts[0] not in UNCOVERED]
