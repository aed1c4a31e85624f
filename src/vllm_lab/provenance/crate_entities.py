"""The entities of a run's description, each made once and found again by its id.

The id of a file in the research object is its path below results/. All other ids begin with a #.
"""

import mimetypes
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from rocrate.model import ContextEntity, Entity, File
from rocrate.rocrate import ROCrate

from vllm_lab.common.files import canonical_json
from vllm_lab.common.host import machine
from vllm_lab.provenance.archive import SOURCE
from vllm_lab.provenance.documents import Document

_TYPES = {".parquet": "application/vnd.apache.parquet", ".jsonl": "application/jsonl", ".md": "text/markdown",
          ".safetensors": "application/octet-stream", ".jinja": "text/plain"}  # fmt: skip
_KINDS = {bool: "Boolean", int: "Integer", float: "Float"}


class Entities:
    """Entities of one crate, whose root is results/."""

    def __init__(self, crate: ROCrate, root: Path, source: Mapping[str, str]) -> None:
        """`source`: path -> sha256 of what the crate's source archive holds."""
        self.crate = crate
        self.root = root
        self._source = source

    def add(self, id: str, type: str, **properties: Any) -> Entity:
        """The contextual entity of that id, made from the properties when it does not exist yet."""
        known = self.crate.get(id)
        return known or self.crate.add(ContextEntity(self.crate, id, {"@type": type, **properties}))

    def file(self, path: str, digest: str) -> Entity:
        """A file that a job read or wrote. Below results/ it is part of the crate, else it is only named."""
        if path in self._source:
            return self.code(path, digest)
        if not path.startswith("results/"):
            return self.add(f"#given/{path}", "CreativeWork", name=path, sha256=digest)
        place = path.removeprefix("results/")
        return self.crate.get(place) or self.crate.add(self._payload(place, digest))

    def _payload(self, place: str, digest: str) -> File:
        path = self.root / "results" / place
        kind = _TYPES.get(path.suffix) or mimetypes.guess_type(place)[0] or "text/plain"
        size = str(path.stat().st_size)
        known = {"name": place, "sha256": digest, "contentSize": size, "encodingFormat": kind}
        return File(self.crate, path, place, properties=known)

    def code(self, path: str, digest: str) -> Entity:
        """A file of the project itself, by path and content. Most are in the crate's source archive."""
        known = {"name": path, "sha256": digest, "version": digest[:12]}
        if self._source.get(path) == digest:
            known["isPartOf"] = {"@id": SOURCE.removeprefix("results/")}
        return self.add(f"#source/{path}@{digest[:12]}", "SoftwareSourceCode", **known)

    def software(self, name: str, version: str) -> Entity:
        """A package or program by name and version."""
        id = f"#software/{name}-{version}"
        return self.add(id, "SoftwareApplication", name=name, softwareVersion=version)

    def machine(self, document: Document) -> Entity:
        """The machine that a job ran on, with all facts of its document."""
        host = document.run["host"]
        id = f"#machine/{sha256(canonical_json(host).encode()).hexdigest()[:12]}"
        facts = [self.value(f"{id}/{key}", key, value) for key, value in host.items()]
        return self.add(id, "Place", name=host["name"], description=machine(host), additionalProperty=facts)

    def value(self, id: str, name: str, value: Any, **properties: Any) -> Entity:
        """A named value. Lists and mappings become JSON text."""
        plain = value if isinstance(value, str | bool | int | float) else canonical_json(value)
        return self.add(id, "PropertyValue", name=name, value=plain, **properties)

    def slot(self, of: Entity, id: str, name: str, value: Any) -> Entity:
        """The formal parameter through which a tool or workflow takes values of the kind of `value`."""
        if id not in self.crate:
            kind = _KINDS.get(type(value), "Text")
            of.append_to("input", self.crate.add_formal_parameter(name, kind, identifier=id))
        return self.crate.get(id)

    def fill(self, slot: Entity, value: Entity) -> Entity:
        """Record that a value was given through a formal parameter; the value."""
        slot.append_to("workExample", value)
        value["exampleOfWork"] = slot
        return value
