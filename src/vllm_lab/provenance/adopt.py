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
    """Touch the outputs of every job whose sources and outputs all fit; the touched paths, sorted.

    Nothing is hashed or touched unless some source is newer than an output made from it.
    """
    found, _ = load(root, results)
    if not any(_outdated(root, document) for document in found):
        return []
    hashes = Hashes(root)
    intact = [document for document in found if _fits(document, hashes)]
    now = time.time_ns()
    touched = sorted(path for document in intact for path in (*document.outputs, document.path))
    for path in touched:
        os.utime(root / path, ns=(now, now))
    return touched


def _outdated(root: Path, document: Document) -> bool:
    sources = [root / path for path in document.sources]
    outputs = [root / path for path in document.outputs]
    if not all(path.exists() for path in (*sources, *outputs)):
        return False
    oldest = min(path.stat().st_mtime_ns for path in outputs)
    return any(path.stat().st_mtime_ns > oldest for path in sources)


def _fits(document: Document, hashes: Hashes) -> bool:
    return documents.identity_digest(document.identity) == document.digest and all(
        hashes[path] == expected for path, expected in {**document.sources, **document.outputs}.items()
    )
