"""Reading a trace: JSON Lines with the standard library, Parquet if pyarrow is installed."""

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from mini_vllm.errors import MiniError
from mini_vllm.request import Request

LARGEST_ID = 2**31 - 1
PARQUET_COLUMNS = ("request_id", "arrival_time", "priority", "prompt_tokens", "output_tokens", "stream")


def read_trace(path: str, limit: int | None = None) -> list[Request]:
    """The trace's requests (the first `limit` rows), in order of arrival, ties in the file's order.

    Parquet is this project's own format, of token ids or of block ids (block_request). JSON Lines needs
    request_id, arrival_time (s), prompt_token_ids and output_token_ids; priority is 0 if absent. MiniError
    names the file, the line or the request, and the key of what is missing or wrong. A trace without requests
    is an error, too.
    """
    readers = {".jsonl": _read_json_lines, ".parquet": _read_parquet}
    reader = readers.get(Path(path).suffix)
    if reader is None:
        raise MiniError(f"{path}: a trace ends in .jsonl or .parquet")
    if not Path(path).is_file():
        raise MiniError(f"{path}: no such file")
    if limit is not None and limit < 1:
        raise MiniError(f"limit is {limit}, must be at least 1")
    requests = reader(path, limit)
    if not requests:
        raise MiniError(f"{path}: there are no requests in it; a replay needs at least one")
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
        rows = ((number, line) for number, line in enumerate(file, start=1) if line.strip())
        for number, line in islice(rows, limit):
            try:
                requests.append(_request(json.loads(line)))
            except (ValueError, OverflowError) as error:
                raise MiniError(f"{path}: line {number}: {error}") from None
    return requests


def _request(row: Any) -> Request:
    """The request of one line. ValueError names the key and what it must be."""
    if not isinstance(row, dict):
        raise ValueError("a request must be a JSON object")
    return Request(
        str(_value(row, "request_id", (str, int), "a string")),
        float(_value(row, "arrival_time", (int, float), "a number of seconds")),
        _value({"priority": 0} | row, "priority", (int,), "a whole number"),
        _tokens(row, "prompt_token_ids"),
        _tokens(row, "output_token_ids"),
    )


def _value(row: dict[str, Any], key: str, kinds: tuple[type, ...], wanted: str) -> Any:
    if key not in row:
        raise ValueError(f"{key} is missing")
    if type(row[key]) not in kinds:  # not isinstance: true and false are no numbers
        raise ValueError(f"{key} is {json.dumps(row[key])}, must be {wanted}")
    return row[key]


def _tokens(row: dict[str, Any], key: str) -> list[int]:
    tokens = _value(row, key, (list,), "a list of token ids")
    for token in tokens:
        if type(token) is not int or not 0 <= token <= LARGEST_ID:  # true and 1.0 equal 1, but are no ids
            said = json.dumps(token)
            raise ValueError(f"{key} holds {said}; a token id is a whole number from 0 to {LARGEST_ID}")
    return tokens


def _read_parquet(path: str, limit: int | None) -> list[Request]:
    """A request is a prefix of a stream. The first row of a stream holds the stream."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise MiniError(f"{path}: reading Parquet needs pyarrow; install it, or give JSON Lines") from error
    try:
        table = parquet.read_table(path)
        metadata = json.loads((table.schema.metadata or {}).get(b"vllm_lab", b"{}"))
        block_tokens = metadata["block_tokens"] if metadata.get("unit") == "block" else None
        table = table.slice(0, limit)
        columns = [table.column(name) for name in PARQUET_COLUMNS]
        chunks = table.column("stream_tokens")
    except (pa.ArrowInvalid, KeyError, ValueError) as error:
        raise MiniError(f"{path}: not a trace of this project ({error})") from error
    for name, column in zip(PARQUET_COLUMNS, columns, strict=True):
        if column.null_count:
            raise MiniError(f"{path}: a row has no {name}; make the trace again")
    if not (pa.types.is_null(chunks.type) or pa.types.is_integer(chunks.type.value_type)):
        raise MiniError(f"{path}: stream_tokens holds {chunks.type}; a token id is a whole number")
    streams: dict[int, np.ndarray] = {}
    requests: list[Request] = []
    for row, (*given, prompt, output, stream) in enumerate(
        zip(*(column.to_pylist() for column in columns), strict=True)
    ):
        if stream not in streams:
            if not chunks[row].is_valid:
                raise MiniError(f"{path}: {given[0]}: no row up to it has the ids of its stream")
            if chunks[row].values.null_count:
                raise MiniError(f"{path}: {given[0]}: stream_tokens holds null; a token id is a whole number")
            streams[stream] = chunks[row].values.to_numpy()
        ids = streams[stream]
        needed = -(-prompt // block_tokens) if block_tokens else prompt + output
        if needed > len(ids):
            raise MiniError(f"{path}: {given[0]}: its stream has {len(ids)} ids, {needed} are needed")
        if block_tokens:
            requests.append(block_request(*given, prompt, output, ids, block_tokens, own_id=-1 - row))
        else:
            requests.append(Request(*given, ids[:prompt], ids[prompt:needed]))
    return requests


def block_request(
    request_id: str,
    arrival_time: float,
    priority: int,
    prompt_tokens: int,
    output_tokens: int,
    block_ids: Sequence[int],
    block_tokens: int,
    own_id: int,
) -> Request:
    """A request whose prompt is known by the ids of its blocks, `block_tokens` tokens each, as in Mooncake's.

    Two prompts share a block if and only if their ids are equal from the start. `block_ids` are at least the
    prompt's full blocks. Its partial last block and all blocks of the output belong to this request alone:
    they have `own_id`, which no other request has. With blocks of 512 tokens, a prompt of 1,200 tokens with
    the ids 7, 8, 9 and an output of 100 tokens has the blocks 7, 8, own_id.
    """
    full = prompt_tokens // block_tokens
    own = -(-(prompt_tokens + output_tokens) // block_tokens) - full
    request = Request(request_id, arrival_time, priority, block_ids[:full], [own_id] * own)
    request.tokens_per_id = block_tokens
    request.prompt_tokens = request.num_tokens = prompt_tokens
    request.output_tokens = output_tokens
    request.total_tokens = prompt_tokens + output_tokens
    return request
