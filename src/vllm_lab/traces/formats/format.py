"""What a format declares, the trace that it is written from, and helpers that check and write records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from vllm_lab.common.files import atomic_path

if TYPE_CHECKING:
    from vllm_lab.traces.prompts import Prompts
    from vllm_lab.traces.trace import Trace

READ_BACK = "the tool's own reader reads it back in tests/traces/exports"
DOCUMENTED = "written to its documentation, not run"
MODEL = "--model results/data/model"
SERVER = "http://127.0.0.1:8000"
VLLM_BENCH = f"vllm bench serve --backend openai --base-url {SERVER} {MODEL}"

KEYS = ("timestamp", "input_length", "output_length", "hash_ids")
Record = dict[str, Any]
Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Reader:
    """A tool and the command that makes it read a file.

    The command has the fields file, records, block_size (tokens of a hash) and longest (tokens
    of the longest request with its output). It addresses a server on port 8000 where the tool is a client of
    one.
    """

    tool: str
    command: str
    checked: str


@dataclass(frozen=True)
class Incoming:
    """A format of JSON Lines with a hash for each prompt block, from which a trace of blocks is made.

    `fault` takes a record and the tokens of a block and returns what is wrong with the record, or "".
    `columns` takes the records in order of arrival, the line of each in the file (from 1) and the tokens of a
    block. It returns the completed records and the columns request_id, conversation_id and turn.
    """

    block_tokens: int  # in the traces that its authors published
    per_second: int  # units of `timestamp` in a second
    fault: Callable[[Any, int], str]
    columns: Callable[[list[Record], list[int], int], tuple[list[Record], Columns]]


@dataclass(frozen=True)
class Source:
    """A trace to export, with the texts of its prompts where it is a trace of tokens.

    What is heavy is imported when it is needed, because the workflow imports this module whenever it starts.
    """

    trace: Trace
    block_size: int  # tokens of a hash
    prompts: Prompts | None = None

    @cached_property
    def last_turns(self) -> dict[str, int]:
        """conversation_id -> the last of its turns in the trace, in the order in which they start."""
        turns: dict[str, int] = {}
        for name, turn in zip(self.trace.conversation_id, self.trace.turn.tolist(), strict=True):
            turns[name] = max(turn, turns.get(name, 0))
        return turns

    def conversations(self) -> Iterator[tuple[str, list[dict[str, str]]]]:
        """Id and messages (role, text) of each conversation as far as the trace has it, replies included."""
        for name, turn in self.last_turns.items():
            yield name, self.prompts.conversation(name, turn)

    def hash_ids(self) -> list[list[int]]:
        """The block numbers of each request, of a partial last block too."""
        from vllm_lab.traces.block_paths import hash_ids

        return hash_ids(self.trace, self.block_size).split()

    def cached_blocks(self) -> list[list[int]]:
        """The block numbers of each request that the sharing analysis counts."""
        from vllm_lab.traces.block_paths import cached_blocks

        return cached_blocks(self.trace, self.block_size).split()


@dataclass(frozen=True)
class Outgoing:
    """A format that other tools read.

    `of_blocks` says whether it can hold a trace of block hashes, which has neither text nor output tokens.
    `write` writes the file and returns how many records it has.
    """

    ending: str
    unit: str  # what it has a record for
    of_blocks: bool
    readers: tuple[Reader, ...]
    notes: tuple[str, ...]
    write: Callable[[Path, Source], int]

    def file(self, trace: str) -> str:
        """The name of the file of a trace."""
        return f"{trace}.{self.ending}"

    def entry(self, trace: str, format: str, path: Path, records: int, source: Source) -> dict[str, Any]:
        """What the index says about the file that `write` made; `left_out` counts the conversations of the
        trace that the format cannot hold."""
        whole = len(source.last_turns) if self.unit == "conversations" else records
        given = {
            "file": path.as_posix(),
            "records": records,
            "block_size": source.block_size,
            "longest": int((source.trace.prompt_tokens + source.trace.output_tokens).max()),
        }
        readers = [
            {"tool": reader.tool, "command": reader.command.format(**given), "checked": reader.checked}
            for reader in self.readers
        ]
        return {
            "trace": trace,
            "format": format,
            "file": path.as_posix(),
            "bytes": path.stat().st_size,
            "unit": self.unit,
            "records": records,
            "left_out": whole - records,
            "block_size": source.block_size,
            "readers": readers,
        }


@dataclass(frozen=True)
class Format:
    """A format that comes in, goes out, or both."""

    incoming: Incoming | None = None
    outgoing: Outgoing | None = None


def fault_of(record: Any, keys: Sequence[str]) -> str:
    """What is wrong with the keys, time, lengths or ids of an incoming record; "" where nothing is."""
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
    """That the number of hash_ids of a record is not one of the `allowed` numbers, or ""."""
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


def write_lines(path: Path, records: Iterable[Record]) -> int:
    """Write JSON Lines; the number of records."""
    return _join(path, records, b"", b"\n", b"\n")


def write_array(path: Path, records: Iterable[Record]) -> int:
    """Write one JSON array with a line for each record; the number of records."""
    return _join(path, records, b"[\n", b",\n", b"\n]\n")


def _join(path: Path, records: Iterable[Record], head: bytes, between: bytes, tail: bytes) -> int:
    count = 0
    with atomic_path(path) as partial, partial.open("wb") as file:
        file.write(head)
        for count, record in enumerate(records, start=1):
            file.write(between if count > 1 else b"")
            file.write(orjson.dumps(record, option=orjson.OPT_SERIALIZE_NUMPY))
        file.write(tail)
    return count
