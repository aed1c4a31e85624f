"""What a format declares: how a trace is read from it, and how one is written to it.

What is heavy is imported when it is needed, because the workflow imports this module whenever it starts.
"""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

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
KEYS = ("timestamp", "input_length", "output_length", "hash_ids")
Record = dict[str, Any]
Columns = dict[str, list[Any]]
Encoder = Callable[[Any], bytes]


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

    `columns` takes the records in order of arrival, the line of each in the file (from 1) and the tokens of a
    block. It returns the completed records and the columns request_id, conversation_id and turn.
    """

    name: str
    block_tokens: int  # of the published traces
    per_second: int  # units of `timestamp` in a second
    columns: Callable[[list[Record], list[int], int], tuple[list[Record], Columns]]
    integers: Mapping[str, Callable[[Any], bool]] = field(default_factory=dict)  # more keys, allowed values
    may_lack_last: bool = False  # whether a partial last block may have no hash

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
        records = []
        for line, record in _lines(path):
            if fault := self._fault(record, size):
                raise LabError(f"{path}: line {line}: {fault}")
            records.append(record)
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

    def _fault(self, record: Any, block_tokens: int) -> str:
        """What is wrong with the keys, numbers or hashes of a record; "" where nothing is."""
        keys = (*KEYS, *self.integers)
        missing = [key for key in keys if key not in record] if isinstance(record, dict) else keys
        if missing:
            return f"no {', '.join(missing)}"
        if type(record["timestamp"]) not in (int, float) or record["timestamp"] < 0:
            return f"timestamp is {record['timestamp']!r:.40}, must be a number >= 0"
        for key in ("input_length", "output_length"):
            if not is_count(record[key]) or record[key] < 1:
                return f"{key} is {record[key]!r:.40}, must be a number of tokens >= 1"
        ids = record["hash_ids"]
        if not isinstance(ids, list) or not all(map(is_count, ids)):
            return f"hash_ids is {ids!r:.40}, must be a list of integers in [0, 2^31)"
        for key, allowed in self.integers.items():
            if not allowed(record[key]):
                return f"{key} is {record[key]!r:.40}, must be an integer"
        full, rest = divmod(record["input_length"], block_tokens)
        blocks = full + bool(rest)
        if len(ids) == blocks or (self.may_lack_last and len(ids) == full):
            return ""
        return (
            f"{len(ids)} hash_ids for input_length {record['input_length']}, must be {blocks} of "
            f"{block_tokens} tokens each (see --block-tokens)"
        )


class Prompts:
    """The texts of the prompts of one trace, rendered again from the conversations: exactly what was
    tokenised."""

    def __init__(self, trace: Trace, conversations: Path, maker: StreamMaker) -> None:
        from vllm_lab.traces.streams import open_conversations

        self._trace, self._maker, self._path = trace, maker, conversations
        wanted = set(trace.conversation_id)
        columns = ["conversation_id", "messages"]
        self._messages = {
            name: messages.as_py()
            for batch in open_conversations(conversations).iter_batches(columns=columns)
            for name, messages in zip(batch[0].to_pylist(), batch[1], strict=True)
            if name in wanted
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
    `records` gives the rows of a .csv file, or the objects of a .json file (one array) or a .jsonl file.
    """

    ending: str
    unit: str  # what it has a record for
    of_blocks: bool
    readers: tuple[Reader, ...]
    notes: tuple[str, ...]
    records: Callable[[Source], Iterable[Any]]
    header: tuple[str, ...] = ()  # of a .csv file

    def file(self, trace: str) -> str:
        """The name of the file of a trace."""
        return f"{trace}.{self.ending}"

    def write(self, path: Path, source: Source) -> int:
        """Write the file; the number of its records."""
        records = self.records(source)
        if self.header:
            return _write(path, chain([self.header], records), encode=_csv_line) - 1
        if self.ending.endswith(".json"):
            return _write(path, records, marks=(b"[\n", b",\n", b"\n]\n"))
        return _write(path, records)

    def entry(self, trace: str, format: str, path: Path, records: int, source: Source) -> dict[str, Any]:
        """What the index says about the file that `write` made; `left_out` counts the conversations of the
        trace that the format cannot hold."""
        entry = {"file": path.as_posix(), "records": records, "block_size": source.block_size}
        longest = int((source.trace.prompt_tokens + source.trace.output_tokens).max())
        commands = [reader.command.format(**entry, longest=longest) for reader in self.readers]
        readers = zip(self.readers, commands, strict=True)
        whole = len(source.last_turns) if self.unit == "conversations" else records
        return entry | {
            "trace": trace,
            "format": format,
            "bytes": path.stat().st_size,
            "unit": self.unit,
            "left_out": whole - records,
            "readers": [asdict(reader) | {"command": command} for reader, command in readers],
        }


def is_count(value: Any) -> bool:
    """Whether `value` is an integer in [0, 2^31)."""
    return type(value) is int and 0 <= value < 2**31


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    """The number (from 1) and the value of each line; there must be one."""
    line = 0
    try:
        with OPENERS.get(path.suffix, Path.open)(path, "rb") as file:
            for line, text in enumerate(file, start=1):
                yield line, orjson.loads(text)
    except FileNotFoundError as error:
        raise LabError(f"{path}: no such file") from error
    except orjson.JSONDecodeError as error:
        raise LabError(f"{path}: line {line}: not JSON ({error})") from error
    except (gzip.BadGzipFile, lzma.LZMAError, EOFError) as error:
        raise LabError(f"{path}: not a whole {path.suffix} file ({error})") from error
    if not line:
        raise LabError(f"{path}: no requests; a trace has one JSON object on each line")


def _json(record: Record) -> bytes:
    return orjson.dumps(record, option=orjson.OPT_SERIALIZE_NUMPY)


def _csv_line(values: Sequence[Any]) -> bytes:
    return ",".join(map(str, values)).encode()  # str of a float reads back to the same double


def _write(
    path: Path, records: Iterable[Any], encode: Encoder = _json, marks: Sequence[bytes] = (b"", b"\n", b"\n")
) -> int:
    """Write the records with marks before, between and after them, whole or not at all; their number."""
    head, between, tail = marks
    count = 0
    with atomic_path(path) as partial, partial.open("wb") as file:
        file.write(head)
        for count, record in enumerate(records, start=1):
            file.write(between if count > 1 else b"")
            file.write(encode(record))
        file.write(tail)
    return count
