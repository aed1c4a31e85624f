"""JSON Lines with a hash for each prompt block, which other people's traces have in common."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson

from vllm_lab.common.errors import LabError
from vllm_lab.traces.trace import Trace

OPENERS = {".gz": gzip.open, ".xz": lzma.open}
KEYS = ("timestamp", "input_length", "output_length", "hash_ids")
Record = dict[str, Any]


def read_records(path: Path, fault: Callable[[Any], str]) -> list[Record]:
    """The objects of a file of JSON Lines (also .gz, .xz), in file order.

    A trace with holes is no trace: the first line that is not JSON, or of which `fault` has something to say,
    is a LabError that names it.
    """
    try:
        with OPENERS.get(path.suffix, Path.open)(path, "rb") as file:
            records = list(_lines(path, file, fault))
    except FileNotFoundError as error:
        raise LabError(f"{path}: no such file") from error
    except (gzip.BadGzipFile, lzma.LZMAError, EOFError) as error:
        raise LabError(f"{path}: not a whole {path.suffix} file ({error})") from error
    if not records:
        raise LabError(f"{path}: no requests; a trace has one JSON object a line")
    return records


def by_arrival(records: Sequence[Record]) -> list[int]:
    """Rows of `records` in order of timestamp; ties stay in the file's order."""
    return np.argsort([record["timestamp"] for record in records], kind="stable").tolist()


def block_trace(
    records: Sequence[Record], per_second: int, metadata: dict[str, Any], **columns: Sequence[Any]
) -> Trace:
    """A trace of blocks from records in order of arrival, each with a stream of its own.

    per_second: units of `timestamp` in a second. metadata: source and block_tokens. columns: request_id,
    conversation_id and turn.
    """
    lengths = [len(record["hash_ids"]) for record in records]
    return Trace(
        arrival_time=np.array([record["timestamp"] for record in records]) / per_second,
        priority=np.zeros(len(records)),
        prompt_tokens=np.array([record["input_length"] for record in records]),
        output_tokens=np.array([record["output_length"] for record in records]),
        stream=np.arange(len(records)),
        stream_ids=np.concatenate([record["hash_ids"] for record in records]),
        stream_offsets=np.concatenate([[0], np.cumsum(lengths)]),
        metadata={"mode": "imported", "unit": "block", **metadata},
        **columns,
    )


def fault_of(record: Any, keys: Sequence[str]) -> str:
    """What is wrong with a record's keys, time, lengths or ids; nothing where all is well."""
    missing = [key for key in keys if key not in record] if isinstance(record, dict) else keys
    if missing:
        return f"no {', '.join(missing)}"
    if type(record["timestamp"]) not in (int, float) or record["timestamp"] < 0:
        return f"timestamp is {record['timestamp']!r:.40}, must be a number >= 0"
    for key in ("input_length", "output_length"):
        if not is_count(record[key]) or record[key] < 1:
            return f"{key} is {record[key]!r:.40}, must be a number of tokens >= 1"
    ids = record["hash_ids"]
    if not isinstance(ids, list) or not all(is_count(number) for number in ids):
        return f"hash_ids is {ids!r:.40}, must be a list of integers in [0, 2^31)"
    return ""


def blocks_fault(record: Record, block_tokens: int, allowed: Sequence[int]) -> str:
    """That a record has none of the `allowed` numbers of hash_ids, or nothing."""
    found = len(record["hash_ids"])
    if found in allowed:
        return ""
    return (
        f"{found} hash_ids for input_length {record['input_length']}, must be {allowed[0]} of "
        f"{block_tokens} tokens each (see --block-tokens)"
    )


def is_count(value: Any) -> bool:
    """Whether `value` is an integer in [0, 2^31)."""
    return type(value) is int and 0 <= value < 2**31


def _lines(path: Path, file: BinaryIO, fault: Callable[[Any], str]) -> Iterator[Record]:
    for line, text in enumerate(file, start=1):
        try:
            record = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise LabError(f"{path}: line {line}: not JSON ({error})") from error
        if found := fault(record):
            raise LabError(f"{path}: line {line}: {found}")
        yield record
