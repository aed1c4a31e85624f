"""Reading a trace: JSON Lines with the standard library, Parquet where pyarrow is installed."""

import json
from pathlib import Path

import numpy as np

from mini_vllm.errors import MiniError
from mini_vllm.request import Request


def read_trace(path: str, limit: int | None = None) -> list[Request]:
    """The trace's requests (the first `limit` rows), in order of arrival, ties in the file's order.

    Parquet is this project's own, of tokens or of block ids (Request.of_blocks). JSON Lines needs request_id,
    arrival_time (s), prompt_token_ids and output_token_ids; priority is 0 if absent.
    MiniError names file, line and key where something is missing or wrong.
    """
    readers = {".jsonl": _read_json_lines, ".parquet": _read_parquet}
    reader = readers.get(Path(path).suffix)
    if reader is None:
        raise MiniError(f"{path}: a trace ends in .jsonl or .parquet")
    if not Path(path).is_file():
        raise MiniError(f"{path}: no such file")
    requests = reader(path, limit)
    seen: set[str] = set()
    for request in requests:
        if request.request_id in seen:
            raise MiniError(f"{path}: request_id {request.request_id!r} is given twice; ids must differ")
        seen.add(request.request_id)
        if not (0 <= request.arrival_time < float("inf")):
            raise MiniError(f"{path}: {request.request_id}: arrival_time must be seconds, 0 or more")
        if min(request.prompt_tokens, request.output_tokens) < 1:
            raise MiniError(f"{path}: {request.request_id}: prompt and output need a token each")
    return sorted(requests, key=lambda request: request.arrival_time)


def _read_json_lines(path: str, limit: int | None) -> list[Request]:
    requests = []
    with Path(path).open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if limit is not None and len(requests) == limit:
                break
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                requests.append(
                    Request(
                        str(row["request_id"]),
                        float(row["arrival_time"]),
                        int(row.get("priority", 0)),
                        row["prompt_token_ids"],
                        row["output_token_ids"],
                    )
                )
            except KeyError as error:
                raise MiniError(f"{path}: line {number}: {error.args[0]} is missing") from error
            except (TypeError, ValueError, OverflowError) as error:
                raise MiniError(f"{path}: line {number}: {error}") from error
    return requests


def _read_parquet(path: str, limit: int | None) -> list[Request]:
    """The project's own Parquet trace: a request is a prefix of a stream, which its first row holds."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise MiniError(f"{path}: reading Parquet needs pyarrow; install it, or give JSON Lines") from error
    names = ("request_id", "arrival_time", "priority", "prompt_tokens", "output_tokens", "stream")
    try:
        table = parquet.read_table(path)
        metadata = json.loads((table.schema.metadata or {}).get(b"vllm_lab", b"{}"))
        block_tokens = metadata["block_tokens"] if metadata.get("unit") == "block" else None
        table = table.slice(0, limit)
        columns = [table.column(name) for name in names]
        chunks = table.column("stream_tokens")
    except (pa.ArrowInvalid, KeyError, ValueError) as error:
        raise MiniError(f"{path}: not a trace of this project ({error})") from error
    for name, column in zip(names, columns, strict=True):
        if column.null_count:
            raise MiniError(f"{path}: a row has no {name}; make the trace again")
    streams: dict[int, np.ndarray] = {}
    requests = []
    for row, (*given, prompt, output, stream) in enumerate(
        zip(*(column.to_pylist() for column in columns), strict=True)
    ):
        if stream not in streams:
            if not chunks[row].is_valid:
                raise MiniError(f"{path}: {given[0]}: no row up to it has the ids of its stream")
            streams[stream] = chunks[row].values.to_numpy()
        ids = streams[stream]
        needed = -(-prompt // block_tokens) if block_tokens else prompt + output
        if needed > len(ids):
            raise MiniError(f"{path}: {given[0]}: its stream has {len(ids)} ids, {needed} are needed")
        if block_tokens:
            requests.append(Request.of_blocks(*given, prompt, output, ids, block_tokens, own_id=-1 - row))
        else:
            requests.append(Request(*given, ids[:prompt], ids[prompt:needed]))
    return requests
