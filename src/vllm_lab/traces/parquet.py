"""A trace's columns in Parquet: stream tokens stand once, in the first row that uses the stream."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vllm_lab.common.errors import LabError
from vllm_lab.common.files import atomic_path, canonical_json

if TYPE_CHECKING:
    from vllm_lab.traces.trace import Trace

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


def read_columns(path: str | os.PathLike) -> dict[str, Any]:
    """The keyword arguments of `Trace` from a Parquet file; LabError for columns missing, mistyped or
    null."""
    table = pq.read_table(path)
    for column in SCHEMA:
        _check_column(path, table, column)
    streams = table["stream_tokens"].combine_chunks()
    first_rows = np.flatnonzero(streams.is_valid().to_numpy(zero_copy_only=False))
    number = table["stream"].to_numpy()
    _check_first_rows(path, number, first_rows)
    lengths = streams.value_lengths().to_numpy(zero_copy_only=False)[first_rows].astype(np.int64)
    return {
        "request_id": table["request_id"].to_pylist(),
        "conversation_id": table["conversation_id"].to_pylist(),
        **{name: table[name].to_numpy() for name in NUMBERS},
        "stream_ids": streams.flatten().to_numpy(),
        "stream_offsets": np.concatenate([[0], np.cumsum(lengths)]),
        "metadata": json.loads(table.schema.metadata[METADATA_KEY]),
    }


def write_columns(path: str | os.PathLike, trace: Trace) -> None:
    """Write `trace` as zstd Parquet with its metadata under the schema key `vllm_lab`."""
    first_use = np.zeros(len(trace), dtype=bool)
    first_use[np.unique(trace.stream, return_index=True)[1]] = True
    lengths = np.where(first_use, np.diff(trace.stream_offsets)[trace.stream], 0)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    streams = pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(trace.stream_ids), mask=pa.array(~first_use)
    )
    columns = [pa.array(list(trace.request_id)), pa.array(list(trace.conversation_id))]
    columns += [pa.array(getattr(trace, name)) for name in NUMBERS]
    schema = SCHEMA.with_metadata({METADATA_KEY: canonical_json(trace.metadata)})
    table = pa.Table.from_arrays([*columns, streams], schema=schema)
    with atomic_path(path) as partial:
        pq.write_table(table, partial, compression="zstd", row_group_size=ROWS_PER_GROUP)


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


def _check_first_rows(path: str | os.PathLike, number: np.ndarray, first_rows: np.ndarray) -> None:
    """A stream's first row, and no other, holds its tokens."""
    if not np.array_equal(np.sort(np.unique(number, return_index=True)[1]), first_rows):
        raise LabError(
            f"{path}: stream_tokens must stand in the first row of each stream and in no other; run the rule "
            "that makes this trace again"
        )
