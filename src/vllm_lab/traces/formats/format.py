"""What a format declares: how a trace is read from it, and how one is written to it.

What is heavy is imported when it is needed, because the workflow imports this module whenever it starts.
"""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from vllm_lab.common import console
from vllm_lab.common.errors import LabError
from vllm_lab.common.files import atomic_path

if TYPE_CHECKING:
    from vllm_lab.traces.streams import StreamMaker
    from vllm_lab.traces.trace import Trace

READ_BACK = "the tool's own reader reads it back in tests/traces/exports"
DOCUMENTED = "written to its documentation, not run"
MODEL = "--model results/data/model"
SERVER = "http://127.0.0.1:8000"
VLLM_BENCH = f"vllm bench serve --backend openai --base-url {SERVER} {MODEL}"

OPENERS = {".gz": gzip.open, ".xz": lzma.open}
REQUEST = (
    "request_id", "conversation_id", "turn", "arrival_time", "priority", "prompt_tokens", "output_tokens"
)  # fmt: skip
KEYS = ("timestamp", "input_length", "output_length", "hash_ids")
Record = dict[str, Any]
Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Reader:
    """A tool and the command that makes it read a file.

    The command has the fields file, records, block_size (tokens of a hash) and longest (tokens of the longest
    request with its output). A tool that is a client addresses a server on port 8000.
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

    name: str
    block_tokens: int  # of the published traces
    per_second: int  # units of `timestamp` in a second
    fault: Callable[[Any, int], str]
    columns: Callable[[list[Record], list[int], int], tuple[list[Record], Columns]]

    def read(self, path: Path, block_tokens: int | None = None) -> Trace:
        """A trace of blocks from JSON Lines (also .gz, .xz); each request has its own stream.

        block_tokens: prompt tokens of a hash; if None, those of the published traces. No line is skipped:
        LabError names the first bad line and the key.
        """
        import numpy as np

        from vllm_lab.traces.trace import Trace

        size = self.block_tokens if block_tokens is None else block_tokens
        if size < 1:
            raise LabError(f"--block-tokens is {size}, must be 1 or more")
        records = _read_lines(path, lambda record: self.fault(record, size))
        # Requests with the same time stay in the order of the file.
        order = np.argsort([record["timestamp"] for record in records], kind="stable").tolist()
        records, columns = self.columns([records[row] for row in order], [row + 1 for row in order], size)
        return Trace(
            arrival_time=np.array([record["timestamp"] for record in records]) / self.per_second,
            priority=np.zeros(len(records)),
            prompt_tokens=np.array([record["input_length"] for record in records]),
            output_tokens=np.array([record["output_length"] for record in records]),
            stream=np.arange(len(records)),
            stream_ids=np.concatenate([record["hash_ids"] for record in records]),
            stream_offsets=np.concatenate([[0], np.cumsum([len(record["hash_ids"]) for record in records])]),
            metadata={"mode": "imported", "unit": "block", "block_tokens": size, "source": self.name},
            **columns,
        )


class Prompts:
    """The texts of the prompts of one trace, rendered again from the conversations: exactly what was
    tokenised."""

    def __init__(self, trace: Trace, conversations: Path, maker: StreamMaker) -> None:
        from vllm_lab.traces.streams import open_conversations

        self._trace, self._maker, self._path = trace, maker, conversations
        wanted = set(trace.conversation_id)
        self._messages = {}
        source = open_conversations(conversations)
        for batch in source.iter_batches(columns=["conversation_id", "messages"]):
            names = batch["conversation_id"].to_pylist()
            self._messages |= {
                name: batch["messages"][row].as_py() for row, name in enumerate(names) if name in wanted
            }

    def text(self, row: int) -> str:
        """The text of the prompt in row `row`. LabError if the trace was made from other conversations."""
        from vllm_lab.traces.tokenizer import show

        name, turn = self._trace.conversation_id[row], int(self._trace.turn[row])
        end = self._end(name, turn)
        chat, hidden = self._maker.messages(self._messages[name][:end])
        return show(self._maker.template.render(chat, prompt=True), hidden)

    def conversation(self, name: str, turn: int) -> list[dict[str, str]]:
        """The messages (role, text) of a conversation up to its user turn `turn` (from 1), with the reply if
        there is one. LabError as for `text`."""
        end = self._end(name, turn)
        messages = self._messages[name]
        replied = end < len(messages) and messages[end]["role"] == "assistant"
        return messages[: end + replied]

    def _end(self, name: str, turn: int) -> int:
        """The number of messages up to user turn `turn` of the conversation."""
        messages = self._messages.get(name, [])
        user_turns = [index for index, message in enumerate(messages) if message["role"] == "user"]
        if turn > len(user_turns):
            raise LabError(
                f"{self._path}: conversation {name} has {len(user_turns)} user turns, the trace asks for "
                f"turn {turn}; run the rules traces_tokens and traces_make again"
            )
        return user_turns[turn - 1] + 1


@dataclass(frozen=True)
class Source:
    """A trace to export, with the texts of its prompts where it is a trace of tokens."""

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
        readers = [asdict(reader) | {"command": reader.command.format(**given)} for reader in self.readers]
        return {
            "trace": trace,
            "format": format,
            "bytes": path.stat().st_size,
            "unit": self.unit,
            "left_out": whole - records,
            "readers": readers,
            **{name: given[name] for name in ("file", "records", "block_size")},
        }


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


def _read_lines(path: Path, fault: Callable[[Any], str]) -> list[Record]:
    """The objects of the file, in its order."""
    records = []
    try:
        with OPENERS.get(path.suffix, Path.open)(path, "rb") as file:
            for line, text in enumerate(file, start=1):
                records.append(orjson.loads(text))
                if found := fault(records[-1]):
                    raise LabError(f"{path}: line {line}: {found}")
    except FileNotFoundError as error:
        raise LabError(f"{path}: no such file") from error
    except orjson.JSONDecodeError as error:
        raise LabError(f"{path}: line {line}: not JSON ({error})") from error
    except (gzip.BadGzipFile, lzma.LZMAError, EOFError) as error:
        raise LabError(f"{path}: not a whole {path.suffix} file ({error})") from error
    if not records:
        raise LabError(f"{path}: no requests; a trace has one JSON object on each line")
    return records


def write_requests(path: Path, trace: Trace, prompt_text: Callable[[int], str]) -> None:
    """Write a line for each request, in the order of the trace: its columns, the text of its prompt
    (`prompt_text` of the row), prompt_token_ids and output_token_ids."""
    records = (
        {
            **{name: getattr(trace, name)[row] for name in REQUEST},
            "prompt": prompt_text(row),
            "prompt_token_ids": trace.prompt(row),
            "output_token_ids": trace.output(row),
        }
        for row in range(len(trace))
    )
    write_lines(path, console.progress(records, desc="write", total=len(trace), unit="request"))


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
