"""The files of a trace: Parquet, and JSON Lines from other tools.

In Parquet the tokens of a stream are in the first row that uses it; they are null in the other rows.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from vllm_lab.common.errors import LabError
from vllm_lab.common.files import atomic_path, canonical_json

NUMBERS: dict[str, Any] = {
    "turn": np.int32,
    "arrival_time": np.float64,
    "priority": np.int32,
    "prompt_tokens": np.int32,
    "output_tokens": np.int32,
    "stream": np.int32,
}
METADATA_KEY = b"vllm_lab"
SCHEMA = pa.schema(
    [("request_id", pa.string()), ("conversation_id", pa.string())]
    + [(name, pa.from_numpy_dtype(kind)) for name, kind in NUMBERS.items()]
    + [("stream_tokens", pa.list_(pa.int32()))]
)
ROWS_PER_GROUP = 16_384


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_int(value: Any) -> bool:
    return type(value) is int and -(2**31) <= value < 2**31


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < float("inf")


# The keys of a line of JSON Lines: whether a value is good, and what it must be.
FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "request_id": (_is_text, "a string"),
    "conversation_id": (_is_text, "a string"),
    "turn": (_is_int, "an integer"),
    "arrival_time": (_is_time, "seconds >= 0"),
    "priority": (_is_int, "an integer"),
}
TOKENS = {"prompt_token_ids": "prompts", "output_token_ids": "outputs"}  # key: argument
REQUIRED = ("request_id", "arrival_time", *TOKENS)


def read_parquet(path: str | os.PathLike) -> dict[str, Any]:
    """The keyword arguments of `Trace` from a Parquet file. LabError for columns that are missing, null or of
    another type."""
    table = pq.read_table(path)
    for column in SCHEMA:
        _check_column(path, table, column)
    streams = table["stream_tokens"].combine_chunks()
    first_rows = np.flatnonzero(streams.is_valid().to_numpy(zero_copy_only=False))
    number = table["stream"].to_numpy()
    if not np.array_equal(np.sort(np.unique(number, return_index=True)[1]), first_rows):
        raise LabError(
            f"{path}: stream_tokens must be in the first row of each stream and in no other; run the rule "
            "that makes this trace again"
        )
    lengths = streams.value_lengths().to_numpy(zero_copy_only=False)[first_rows].astype(np.int64)
    return {
        "request_id": table["request_id"].to_pylist(),
        "conversation_id": table["conversation_id"].to_pylist(),
        **{name: table[name].to_numpy() for name in NUMBERS},
        "stream_ids": streams.flatten().to_numpy(),
        "stream_offsets": np.concatenate([[0], np.cumsum(lengths)]),
        "metadata": json.loads(table.schema.metadata[METADATA_KEY]),
    }


def write_parquet(path: str | os.PathLike, columns: Mapping[str, Any]) -> None:
    """Write the columns of a `Trace` as zstd Parquet, with its metadata under the schema key `vllm_lab`."""
    stream = columns["stream"]
    first_use = np.zeros(len(stream), dtype=bool)
    first_use[np.unique(stream, return_index=True)[1]] = True
    lengths = np.where(first_use, np.diff(columns["stream_offsets"])[stream], 0)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    streams = pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(columns["stream_ids"]), mask=pa.array(~first_use)
    )
    arrays = [pa.array(list(columns[name])) for name in ("request_id", "conversation_id")]
    arrays += [pa.array(columns[name]) for name in NUMBERS]
    schema = SCHEMA.with_metadata({METADATA_KEY: canonical_json(columns["metadata"])})
    table = pa.Table.from_arrays([*arrays, streams], schema=schema)
    with atomic_path(path) as partial:
        pq.write_table(table, partial, compression="zstd", row_group_size=ROWS_PER_GROUP)


def read_json_lines(path: str | os.PathLike) -> dict[str, Any]:
    """The keyword arguments of `Trace.from_requests`, in file order.

    A line needs request_id (string), arrival_time (s), prompt_token_ids and output_token_ids. priority is 0
    by default, conversation_id is the request_id and turn is 1. Empty lines are ignored. For any other line,
    LabError names the line (from 1) and the key.
    """
    columns: dict[str, list[Any]] = {name: [] for name in (*FIELDS, *TOKENS.values())}
    with Path(path).open("rb") as file:
        for line, text in enumerate(file, start=1):
            if text.isspace():
                continue
            where = f"{path}: line {line}"
            record = _parse(where, text)
            record = {"conversation_id": record["request_id"], "turn": 1, "priority": 0} | record
            for key, (is_good, wanted) in FIELDS.items():
                if not is_good(record[key]):
                    raise LabError(f"{where}: {key} is {record[key]!r:.60}, must be {wanted}")
                columns[key].append(record[key])
            for key, name in TOKENS.items():
                columns[name].append(_token_ids(f"{where}: {key}", record[key]))
    return columns


def write_json_lines(path: str | os.PathLike, requests: Iterable[Mapping[str, Any]]) -> None:
    """Write a line for each request, whole or not at all; arrays of numpy become lists."""
    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
    with atomic_path(path) as partial, partial.open("wb") as file:
        file.writelines(orjson.dumps(request, option=options) for request in requests)


def open_parquet(path: Path, rule: str) -> pq.ParquetFile:
    """The Parquet file that the rule `rule` makes. LabError where it is missing or something else."""
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError as error:
        raise LabError(f"{path}: no such file; run the rule {rule}") from error
    except pa.ArrowInvalid as error:
        raise LabError(f"{path}: not a Parquet file ({error}); run the rule {rule} again") from error


def _check_column(path: str | os.PathLike, table: pa.Table, column: pa.Field) -> None:
    remake = "run the rule that makes this trace again"
    if METADATA_KEY not in (table.schema.metadata or {}):
        raise LabError(f"{path}: no schema metadata {METADATA_KEY.decode()!r}, so not a trace; {remake}")
    if column.name not in table.column_names:
        raise LabError(f"{path}: no column {column.name!r} (found {', '.join(table.column_names)}); {remake}")
    found = table.schema.field(column.name).type
    if found != column.type:
        raise LabError(f"{path}: column {column.name!r} is {found}, must be {column.type}; {remake}")
    if column.name != "stream_tokens" and table[column.name].null_count:
        row = table[column.name].is_null().to_pylist().index(True)
        raise LabError(f"{path}: row {row}: {column.name} is missing; {remake}")


def _parse(where: str, text: bytes) -> dict[str, Any]:
    try:
        record = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise LabError(f"{where}: not JSON ({error})") from error
    if not isinstance(record, dict):
        raise LabError(f"{where}: not an object with {', '.join(REQUIRED)}")
    missing = [key for key in REQUIRED if key not in record]
    if missing:
        raise LabError(f"{where}: no {', '.join(missing)}")
    return record


def _token_ids(what: str, given: Any) -> np.ndarray:
    """int32 [n], n >= 1."""
    if not isinstance(given, list) or not given:
        raise LabError(f"{what} is {given!r:.60}, must be a list of token ids, at least one")
    try:
        values = np.array(given)
    except ValueError:  # lists of unequal length among the ids
        values = np.array(["?"])
    if values.dtype != np.int64 or values.ndim != 1 or values.min() < 0 or values.max() >= 2**31:
        raise LabError(f"{what} holds something other than integers in [0, 2^31)")
    return values.astype(np.int32)
