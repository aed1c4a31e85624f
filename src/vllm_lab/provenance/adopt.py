"""Make kept results current again in a fresh clone.

Snakemake remembers the contents of a job's inputs in .snakemake. Where that folder is lost (results were
copied into a new clone), Snakemake knows only the files' times, and every file of a clone is new. The
provenance documents know the contents. So the outputs that still fit their documents get the present time,
and Snakemake makes nothing twice.
"""

import os
import time
from pathlib import Path

from vllm_lab.provenance import documents
from vllm_lab.provenance.documents import Document
from vllm_lab.provenance.verify import Hashes, load


def adopt(root: Path, results: str = "results") -> list[str]:
    """Give the present time to the files of every job whose sources and outputs all fit its document.

    Returns the touched paths, sorted. Does nothing where Snakemake has its own memory, and where no source is
    newer than a file made from it.
    """
    if any((root / ".snakemake/metadata").glob("*")):
        return []
    loaded, _ = load(root, results)
    found = [document for document in loaded if not document.bundle]
    if not any(_outdated(root, document, results) for document in found):
        return []
    hashes = Hashes(root)
    intact = [document for document in found if _fits(document, hashes)]
    now = time.time_ns()
    touched = sorted(path for document in intact for path in _made(root, document, results))
    for path in touched:
        os.utime(root / path, ns=(now, now))
    return touched


def _made(root: Path, document: Document, results: str) -> list[str]:
    """What the job wrote: its outputs, its document and its timing. Snakemake looks at the times of all."""
    timing = f"{results}/timings/{Path(document.path).name.removesuffix(documents.SUFFIX)}.tsv"
    return [path for path in (*document.outputs, document.path, timing) if (root / path).exists()]


def _outdated(root: Path, document: Document, results: str) -> bool:
    oldest = min((root / path).stat().st_mtime_ns for path in _made(root, document, results))
    sources = (root / path for path in document.sources)
    return any(path.stat().st_mtime_ns > oldest for path in sources if path.exists())


def _fits(document: Document, hashes: Hashes) -> bool:
    return documents.identity_digest(document.identity) == document.digest and all(
        hashes[path] == expected for path, expected in {**document.sources, **document.outputs}.items()
    )
