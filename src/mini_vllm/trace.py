"""Reading a trace: JSON Lines with the standard library, Parquet where pyarrow is installed."""

import json
from pathlib import Path

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
    try:
        table = parquet.read_table(path)
        metadata = json.loads((table.schema.metadata or {}).get(b"vllm_lab", b"{}"))
        table = table.slice(0, limit)
        names = ("request_id", "arrival_time", "priority", "prompt_tokens", "output_tokens", "stream")
        columns = [table.column(name).to_pylist() for name in names]
        chunks = table.column("stream_tokens")
    except (pa.ArrowInvalid, KeyError) as error:
        raise MiniError(f"{path}: not a trace of this project ({error})") from error
    of_blocks = metadata.get("unit", "token") == "block"
    streams: dict[int, object] = {}
    requests = []
    for row, (name, arrival, priority, prompt, output, stream) in enumerate(zip(*columns, strict=True)):
        if stream not in streams:
            streams[stream] = chunks[row].values.to_numpy()
        ids = streams[stream]
        if of_blocks:
            size, own_id = metadata["block_tokens"], -1 - row
            requests.append(Request.of_blocks(name, arrival, priority, prompt, output, ids, size, own_id))
        else:
            requests.append(Request(name, arrival, priority, ids[:prompt], ids[prompt : prompt + output]))
    return requests
