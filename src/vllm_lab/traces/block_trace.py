"""Traces of other people that come in: JSON Lines with a hash for each prompt block."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson

from vllm_lab.common.errors import LabError
from vllm_lab.traces.formats import IMPORTS
from vllm_lab.traces.formats.format import Record
from vllm_lab.traces.trace import Trace

OPENERS = {".gz": gzip.open, ".xz": lzma.open}


def import_trace(format: str, path: Path, block_tokens: int | None = None) -> Trace:
    """A trace of blocks from JSON Lines (also .gz, .xz) in one of IMPORTS; each request has its own stream.

    block_tokens: prompt tokens of a hash; if None, those of the published traces. No line is skipped:
    LabError names the first bad line and the key.
    """
    incoming = IMPORTS[format]
    size = incoming.block_tokens if block_tokens is None else block_tokens
    if size < 1:
        raise LabError(f"--block-tokens is {size}, must be 1 or more")
    records = _records(path, lambda record: incoming.fault(record, size))
    # Requests with the same time stay in the order of the file.
    order = np.argsort([record["timestamp"] for record in records], kind="stable").tolist()
    lines = [row + 1 for row in order]
    records, columns = incoming.columns([records[row] for row in order], lines, size)
    return Trace(
        arrival_time=np.array([record["timestamp"] for record in records]) / incoming.per_second,
        priority=np.zeros(len(records)),
        prompt_tokens=np.array([record["input_length"] for record in records]),
        output_tokens=np.array([record["output_length"] for record in records]),
        stream=np.arange(len(records)),
        stream_ids=np.concatenate([record["hash_ids"] for record in records]),
        stream_offsets=np.concatenate([[0], np.cumsum([len(record["hash_ids"]) for record in records])]),
        metadata={"mode": "imported", "unit": "block", "block_tokens": size, "source": format},
        **columns,
    )


def _records(path: Path, fault: Callable[[Any], str]) -> list[Record]:
    """The objects of the file, in its order."""
    try:
        with OPENERS.get(path.suffix, Path.open)(path, "rb") as file:
            records = list(_lines(path, file, fault))
    except FileNotFoundError as error:
        raise LabError(f"{path}: no such file") from error
    except (gzip.BadGzipFile, lzma.LZMAError, EOFError) as error:
        raise LabError(f"{path}: not a whole {path.suffix} file ({error})") from error
    if not records:
        raise LabError(f"{path}: no requests; a trace has one JSON object on each line")
    return records


def _lines(path: Path, file: BinaryIO, fault: Callable[[Any], str]) -> Iterator[Record]:
    for line, text in enumerate(file, start=1):
        try:
            record = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise LabError(f"{path}: line {line}: not JSON ({error})") from error
        if found := fault(record):
            raise LabError(f"{path}: line {line}: {found}")
        yield record
