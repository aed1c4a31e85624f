"""Walk from a result back to the raw data."""

from pathlib import Path

from vllm_lab.common.errors import LabError
from vllm_lab.provenance.documents import Document, collect


def describe(root: Path, file: str) -> str:
    """The chain of jobs from `file` (relative to `root`) back to the data that no job made, as text.

    Each job is told once; a later mention refers to it by its rule.
    """
    covering = collect(root)
    if file not in covering:
        raise LabError(
            f"{file}: no provenance document covers it; give a file below results/ that a rule made"
        )
    lines: list[str] = []
    told: set[str] = set()
    _tell(file, covering, lines, told, depth=0)
    return "\n".join(lines)


def _tell(file: str, covering: dict[str, Document], lines: list[str], told: set[str], depth: int) -> None:
    indent = "  " * depth
    document = covering.get(file)
    if document is None:
        lines.append(f"{indent}{file}  (given; no rule made it)")
        return
    identity, run = document.identity, document.run
    name = "/".join(filter(None, (document.bundle, identity["rule"], *identity["wildcards"].values())))
    lines.append(f"{indent}{file}  sha256 {document.outputs[file][:16]}…")
    if document.path in told:
        lines.append(f"{indent}  by rule {name}, told above")
        return
    told.add(document.path)
    commit = (
        f", commit {run['git']['commit'][:12]}{' + changes' if run['git']['dirty'] else ''}"
        if run["git"]
        else ""
    )
    hardware = run["host"]
    accelerators = "".join(f", {gpu['name']}" for gpu in hardware["gpus"])
    lines += [
        f"{indent}  by rule {name} ({identity['kind']}), identity {document.digest[:16]}…",
        f"{indent}  command: {' '.join(identity['command'])}",
        f"{indent}  when: {run['started']}, {run['seconds']} s, {run['max_rss_mib']} MiB{commit}",
        f"{indent}  where: {hardware['name']}, {hardware['cpu']}, {run['threads']} threads{accelerators}",
        f"{indent}  environment: {', '.join(identity['environment'])}",
        f"{indent}  code: {', '.join(identity['code'])}",
    ]
    for source in document.inputs:
        _tell(source, covering, lines, told, depth + 1)
