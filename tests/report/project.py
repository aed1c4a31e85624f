"""A project in a temporary folder: results with provenance documents, as the wrapper would have left them."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vllm_lab.provenance.documents import Document, identity_digest

HOST = {
    "name": "testhost",
    "os": "Linux",
    "kernel": "6.1",
    "cpu": "Test CPU",
    "cores": 2,
    "memory_gib": 8.0,
    "gpus": [],
}


class Project:
    """Writes results below `root` and a document for each job."""

    def __init__(
        self,
        root: Path,
        *,
        host: str = "testhost",
        started: str = "2026-01-02T03:04:05+00:00",
        cluster: dict[str, str] | None = None,
    ) -> None:
        self.root = root
        self.cluster = cluster or {}
        self.host = host
        self.started = started
        (root / "scripts").mkdir(parents=True, exist_ok=True)

    def job(
        self,
        rule: str,
        outputs: dict[str, Any],
        *,
        inputs: Sequence[str] = (),
        wildcards: dict[str, str] | None = None,
        kind: str = "deterministic",
    ) -> list[str]:
        """Write outputs (bytes, text, or a value as JSON) and the job's document; the outputs' paths."""
        for path, content in outputs.items():
            self._write(path, content)
        script = f"scripts/{rule}.py"
        self._write(script, f"# {rule}\n")
        identity = {
            "rule": rule,
            "wildcards": wildcards or {},
            "command": ["python", script, "--output", *outputs],
            "params": {},
            "seed": None,
            "kind": kind,
            "inputs": {path: self.sha256(path) for path in inputs},
            "code": {script: self.sha256(script)},
            "environment": {},
            "outputs": {path: self.sha256(path) for path in outputs},
        }
        run = {
            "started": self.started,
            "ended": self.started,
            "seconds": 1.5,
            "exit": 0,
            "threads": 1,
            "max_rss_mib": 12.5,
            "host": {**HOST, "name": self.host},
            "cluster": self.cluster,
            "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
            "versions": {"python": "3.11.7"},
        }
        first = next(iter(outputs))
        name = "-".join((rule, *(wildcards or {}).values()))
        Document(f"{Path(first).parent}/{name}.prov.json", identity, identity_digest(identity), run).write(
            self.root
        )
        return list(outputs)

    def sha256(self, path: str) -> str:
        """A file's sha256."""
        return hashlib.sha256((self.root / path).read_bytes()).hexdigest()

    def _write(self, path: str, content: Any) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
