"""The provenance document of one job.

A document has three parts. `identity` is deterministic: what was run on which bytes and what came out; two
runs that agree in it are the same computation. `digest` is the sha256 of the identity's canonical JSON. `run`
is what happened this time: when, where, on which hardware, from which commit. All paths are relative to the
project's root, with forward slashes.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vllm_lab.errors import LabError
from vllm_lab.files import canonical_json, read_json, write_json

SCHEMA = "vllm-lab/provenance/1"
SUFFIX = ".prov.json"
# Outputs of the first two are byte-identical from run to run; simulated ones stand for no real engine.
KINDS = ("deterministic", "simulated", "measured")
_IDENTITY_KEYS = {
    "rule", "wildcards", "command", "params", "seed", "kind", "inputs", "code", "environment", "outputs"
}  # fmt: skip


@dataclass(frozen=True)
class Document:
    """One job's document. `path` is where it lies, relative to the project's root."""

    path: str
    identity: dict[str, Any]
    digest: str
    run: dict[str, Any]

    @property
    def outputs(self) -> dict[str, str]:
        """Path -> sha256 of what the job made."""
        return self.identity["outputs"]

    @property
    def sources(self) -> dict[str, str]:
        """Path -> sha256 of all the job read: inputs, code and environment locks."""
        return {**self.identity["inputs"], **self.identity["code"], **self.identity["environment"]}

    def write(self, root: Path) -> None:
        """Write the document to its path below `root`."""
        body = asdict(self)
        del body["path"]
        write_json(root / self.path, {"schema": SCHEMA, **body})


def identity_digest(identity: dict[str, Any]) -> str:
    """sha256 (hexadecimal) of the identity's canonical JSON."""
    return hashlib.sha256(canonical_json(identity).encode()).hexdigest()


def read(path: Path, root: Path) -> Document:
    """Read one document. LabError names the file when it is not one."""
    body = read_json(path)
    if not isinstance(body, dict) or body.get("schema") != SCHEMA:
        raise LabError(f"{path}: not a provenance document of schema {SCHEMA}; delete it and rerun its rule")
    missing = {"identity", "digest", "run"} - body.keys() or _IDENTITY_KEYS - body["identity"].keys()
    if missing:
        raise LabError(
            f"{path}: the document lacks {', '.join(sorted(missing))}; delete it and rerun its rule"
        )
    return Document(path.relative_to(root).as_posix(), body["identity"], body["digest"], body["run"])


def find(results: Path) -> list[Path]:
    """All documents below `results`, sorted by path."""
    return sorted(results.rglob(f"*{SUFFIX}"))


def collect(root: Path, results: str = "results") -> dict[str, Document]:
    """Output path -> the document that covers it, for all documents below `root`/`results`.

    A file covered by two documents is an error, since neither could then be trusted.
    """
    return index(read(path, root) for path in find(root / results))


def index(documents: Iterable[Document]) -> dict[str, Document]:
    """Output path -> document; LabError when two documents claim one output."""
    covering: dict[str, Document] = {}
    for document in documents:
        for output in document.outputs:
            if output in covering:
                raise LabError(
                    f"{output}: covered by two documents, {covering[output].path} and {document.path}; "
                    "delete the one that no rule makes any more"
                )
            covering[output] = document
    return covering
