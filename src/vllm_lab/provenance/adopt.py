"""Make kept results current again beside a fresh clone.

Snakemake remembers the contents of inputs in .snakemake. Where that folder is lost (results copied beside a
new clone), it only has file times, and a clone's files are all new. The documents know the contents: outputs
that still fit their documents are given the present time, so that nothing is made twice.
"""

import os
import time
from pathlib import Path

from vllm_lab.provenance import documents
from vllm_lab.provenance.documents import Document
from vllm_lab.provenance.verify import Hashes, load


def adopt(root: Path, results: str = "results") -> list[str]:
    """Touch what every job made whose sources and outputs all fit; the touched paths, sorted.

    Nothing is hashed or touched unless some source is newer than a file made from it.
    """
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
    """What the job wrote: its outputs, its document and its timing, whose time Snakemake looks at too."""
    timing = f"{results}/benchmarks/{Path(document.path).name.removesuffix(documents.SUFFIX)}.tsv"
    return [path for path in (*document.outputs, document.path, timing) if (root / path).exists()]


def _outdated(root: Path, document: Document, results: str) -> bool:
    oldest = min((root / path).stat().st_mtime_ns for path in _made(root, document, results))
    sources = (root / path for path in document.sources)
    return any(path.stat().st_mtime_ns > oldest for path in sources if path.exists())


def _fits(document: Document, hashes: Hashes) -> bool:
    return documents.identity_digest(document.identity) == document.digest and all(
        hashes[path] == expected for path, expected in {**document.sources, **document.outputs}.items()
    )
