"""Mooncake's traces: hashes of prompt blocks instead of tokens (https://github.com/kvcache-ai/Mooncake)."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson

from vllm_lab.errors import LabError
from vllm_lab.traces.trace import Trace

OPENERS = {".gz": gzip.open, ".xz": lzma.open}
KEYS = ("timestamp", "input_length", "output_length", "hash_ids")


def read_mooncake(path: Path, block_tokens: int) -> Trace:
    """A trace of blocks from JSON Lines (also .gz, .xz) of timestamp (ms), input_length and output_length
    (tokens) and hash_ids (one for every `block_tokens` prompt tokens; the partial last block has one of its
    own).

    Request `r<line>`, line counted from 1; each is a conversation and a stream of its own, for the file does
    not say which requests belong together. A trace with holes is no trace: the first bad line is a LabError
    that names it and the key.
    """
    records = list(_records(path, block_tokens))
    if not records:
        raise LabError(f"{path}: no requests; a Mooncake trace has one JSON object a line")
    arrival = np.array([record["timestamp"] for record in records]) / 1000.0
    order = np.argsort(arrival, kind="stable")
    records = [records[row] for row in order]
    names = [f"r{row + 1}" for row in order]
    lengths = [len(record["hash_ids"]) for record in records]
    return Trace(
        request_id=names,
        conversation_id=names,
        turn=np.ones(len(records)),
        arrival_time=arrival[order],
        priority=np.zeros(len(records)),
        prompt_tokens=np.array([record["input_length"] for record in records]),
        output_tokens=np.array([record["output_length"] for record in records]),
        stream=np.arange(len(records)),
        stream_ids=np.concatenate([record["hash_ids"] for record in records]),
        stream_offsets=np.concatenate([[0], np.cumsum(lengths)]),
        metadata={"mode": "imported", "unit": "block", "block_tokens": block_tokens, "source": "mooncake"},
    )


def _records(path: Path, block_tokens: int) -> Iterator[dict[str, Any]]:
    try:
        with OPENERS.get(path.suffix, Path.open)(path, "rb") as file:
            yield from _lines(path, file, block_tokens)
    except FileNotFoundError as error:
        raise LabError(f"{path}: no such file") from error
    except (gzip.BadGzipFile, lzma.LZMAError, EOFError) as error:
        raise LabError(f"{path}: not a whole {path.suffix} file ({error})") from error


def _lines(path: Path, file: BinaryIO, block_tokens: int) -> Iterator[dict[str, Any]]:
    for line, text in enumerate(file, start=1):
        try:
            record = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise LabError(f"{path}: line {line}: not JSON ({error})") from error
        fault = _fault(record, block_tokens)
        if fault:
            raise LabError(f"{path}: line {line}: {fault}")
        yield record


def _fault(record: Any, block_tokens: int) -> str:
    """What is wrong with a record, or nothing."""
    missing = [key for key in KEYS if key not in record] if isinstance(record, dict) else KEYS
    if missing:
        return f"no {', '.join(missing)}"
    if type(record["timestamp"]) not in (int, float) or record["timestamp"] < 0:
        return f"timestamp is {record['timestamp']!r:.40}, must be milliseconds >= 0"
    for key in ("input_length", "output_length"):
        if not _is_count(record[key]) or record[key] < 1:
            return f"{key} is {record[key]!r:.40}, must be a number of tokens >= 1"
    ids, blocks = record["hash_ids"], -(-record["input_length"] // block_tokens)
    if not isinstance(ids, list) or not all(_is_count(number) for number in ids):
        return f"hash_ids is {ids!r:.40}, must be a list of integers in [0, 2^31)"
    if len(ids) != blocks:
        return (
            f"{len(ids)} hash_ids for input_length {record['input_length']}, must be {blocks} of "
            f"{block_tokens} tokens each (see --block-tokens)"
        )
    return ""


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**31
