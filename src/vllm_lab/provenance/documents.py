"""The provenance document of one job.

A document has three parts. `identity` is deterministic: what was run, on which bytes, and what came out. Two
runs with the same identity are the same computation. `digest` is the sha256 of the identity's canonical JSON.
`run` is what happened this time: when, where, on which hardware, from which commit. All paths are relative to
the project's root, with forward slashes.

Results that were measured elsewhere are in results/bundles/NAME, with the unchanged documents of their jobs.
The paths in these documents are those of the project that made them. A Document also knows where the files
are here.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vllm_lab.common.errors import LabError
from vllm_lab.common.files import canonical_json, read_json, write_json

SCHEMA = "vllm-lab/provenance/1"
SUFFIX = ".prov.json"
BUNDLES = "bundles"
# Outputs of the first two kinds are byte-identical in every run. Simulated ones come from no real engine.
KINDS = ("deterministic", "simulated", "measured")
_IDENTITY_KEYS = {
    "rule", "wildcards", "command", "params", "seed", "kind", "inputs", "code", "environment", "outputs"
}  # fmt: skip


@dataclass(frozen=True)
class Document:
    """One job's document, at `path` below the project's root.

    `places` maps paths of the identity to paths here, for the files that came in a bundle.
    """

    path: str
    identity: dict[str, Any]
    digest: str
    run: dict[str, Any]
    places: dict[str, str] = field(default_factory=dict)

    @property
    def bundle(self) -> str:
        """The name of the bundle that the document came in; empty for this project's own documents."""
        _, folder, name, *_ = (*self.path.split("/"), "", "")
        return name if folder == BUNDLES else ""

    @property
    def outputs(self) -> dict[str, str]:
        """Path here -> sha256 of the files that the job made."""
        return self._here("outputs")

    @property
    def inputs(self) -> dict[str, str]:
        """Path here -> sha256 of the files that the job read, without code and locks."""
        return self._here("inputs")

    @property
    def sources(self) -> dict[str, str]:
        """Path -> sha256 of all files that the job read: inputs, code and environment locks.

        For a bundle's job these are the results only: its code is that of its own checkout, which equalled
        this one when the bundle was merged.
        """
        if self.bundle:
            return {path: digest for path, digest in self.inputs.items() if path.startswith("results/")}
        return {**self.inputs, **self.identity["code"], **self.identity["environment"]}

    def _here(self, part: str) -> dict[str, str]:
        return {self.places.get(path, path): digest for path, digest in self.identity[part].items()}

    def write(self, root: Path) -> None:
        """Write the document to its path below `root`."""
        body = {"identity": self.identity, "digest": self.digest, "run": self.run}
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
    place = path.relative_to(root)
    places = _places(place, body["identity"], root)
    return Document(place.as_posix(), body["identity"], body["digest"], body["run"], places)


def _places(document: Path, identity: dict[str, Any], root: Path) -> dict[str, str]:
    """Where a bundle's files are here: those its job made, and those it read that came in the bundle."""
    _, folder, name, *_ = (*document.parts, "", "")
    if folder != BUNDLES:
        return {}
    moved = {
        path: path.replace("results/", f"results/{BUNDLES}/{name}/", 1)
        for path in (*identity["inputs"], *identity["outputs"])
        if path.startswith("results/")
    }
    return {
        path: here for path, here in moved.items() if path in identity["outputs"] or (root / here).is_file()
    }


def find(results: Path, pattern: str = f"*{SUFFIX}") -> list[Path]:
    """The documents, or other files, below `results`, sorted. What is hidden is unfinished and left out."""
    found = (path.relative_to(results) for path in results.rglob(pattern) if path.is_file())
    return sorted(results / path for path in found if not any(part[0] == "." for part in path.parts))


def collect(root: Path) -> dict[str, Document]:
    """Output path -> the document that covers it, for all documents below `root`/results.

    LabError for a file that two documents cover, since neither could then be trusted.
    """
    covering: dict[str, Document] = {}
    for document in (read(path, root) for path in find(root / "results")):
        for output in document.outputs:
            if output in covering:
                raise LabError(
                    f"{output}: covered by two documents, {covering[output].path} and {document.path}; "
                    "delete the one that no rule makes any more"
                )
            covering[output] = document
    return covering
