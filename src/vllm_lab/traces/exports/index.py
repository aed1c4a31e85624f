"""The index: each export's file, what it holds, and the commands that read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vllm_lab.traces.exports.formats import FORMATS
from vllm_lab.traces.exports.writers import Source


def entry(name: str, format: str, path: Path, records: int, source: Source) -> dict[str, Any]:
    """The export of trace `name` to `path`, as JSON. `left_out` counts conversations that the format
    cannot tell."""
    trace, about = source.trace, FORMATS[format]
    whole = len(source.last_turns) if about.unit == "conversations" else records
    given = {
        "file": path.as_posix(),
        "records": records,
        "block_size": source.block_size,
        "longest": int((trace.prompt_tokens + trace.output_tokens).max()),
    }
    readers = [
        {"tool": reader.tool, "command": reader.command.format(**given), "checked": reader.checked}
        for reader in about.readers
    ]
    return {
        "trace": name,
        "format": format,
        "file": path.as_posix(),
        "bytes": path.stat().st_size,
        "unit": about.unit,
        "records": records,
        "left_out": whole - records,
        "block_size": source.block_size,
        "readers": readers,
    }
