"""All conversations of a raw file, in file order, with an account of everything mended or dropped."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vllm_lab.common.files import atomic_path
from vllm_lab.data.conversation import Conversation, from_record
from vllm_lab.data.ledger import Ledger
from vllm_lab.data.parts import merge_parts, part_of
from vllm_lab.data.reader import Reader

SCHEMA = pa.schema(
    [
        ("conversation_id", pa.string()),
        ("record", pa.int64()),
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("text", pa.string())]))),
    ]
)

_ROW_GROUP = 4096  # conversations
_ROW_GROUP_CHARACTERS = 64 << 20  # an Arrow string column holds 2 GiB


def read(
    path: str | os.PathLike, ledger: Ledger, *, merge: bool = False, max_records: int | None = None
) -> Iterator[Conversation]:
    """Yield the conversations of a raw file by the rules of `ledger`, which is complete at the end.

    Reads at most `max_records` records. Streams, unless `merge` joins the parts of conversations. Raises
    LabError for a file that is not JSON.
    """
    kept = _from_records(path, ledger, max_records)
    if merge:
        kept = _with_distinct_ids(merge_parts(kept, ledger), ledger)
    for conversation in kept:
        _observe(conversation, ledger, merge)
        yield conversation


def write(path: str | os.PathLike, conversations: Iterable[Conversation]) -> None:
    """Write conversations as Parquet (zstd, columns as in SCHEMA), in row groups of bounded size."""
    with atomic_path(path) as partial, pq.ParquetWriter(partial, SCHEMA, compression="zstd") as writer:
        for group in _row_groups(conversations):
            writer.write_table(_table(group))


def _from_records(path: str | os.PathLike, ledger: Ledger, max_records: int | None) -> Iterator[Conversation]:
    reader = Reader(path)
    yield from _with_distinct_ids(_readable(reader, ledger, max_records), ledger)
    if reader.array_not_closed:
        ledger.count("array_not_closed", detail=f"{Path(path).name} has no closing bracket")


def _readable(reader: Reader, ledger: Ledger, max_records: int | None) -> Iterator[Conversation]:
    for record in reader:
        if record.index == max_records:
            ledger.stopped_after_max_records = True
            return
        ledger.records_read += 1
        conversation = from_record(record, ledger)
        if conversation:
            yield conversation


def _with_distinct_ids(conversations: Iterable[Conversation], ledger: Ledger) -> Iterator[Conversation]:
    uses: Counter[str] = Counter()
    for conversation in conversations:
        id = conversation.id
        while uses[id]:
            uses[conversation.id] += 1
            id = f"{conversation.id}#{uses[conversation.id]}"
        uses[id] += 1
        if id != conversation.id:
            ledger.count("id_duplicate", conversation.record, conversation.id, f"renamed to {id}")
        yield replace(conversation, id=id) if id != conversation.id else conversation


def _observe(conversation: Conversation, ledger: Ledger, merged: bool) -> None:
    """Count what is kept, and what is odd about it."""
    roles = [message.role for message in conversation.messages]
    ledger.count_kept(roles)
    if roles[0] == "assistant":
        ledger.count("first_message_assistant", conversation.record, conversation.id)
    for before, after in pairwise(conversation.messages):
        if before.role == after.role:
            place = f"messages {before.position} and {after.position} are both {after.role}"
            ledger.count("consecutive_same_role", conversation.record, conversation.id, place)
    part = part_of(conversation.id)
    if part and part[1] > 0 and not merged:
        ledger.count("part_of_conversation", conversation.record, conversation.id)


def _row_groups(conversations: Iterable[Conversation]) -> Iterator[list[Conversation]]:
    group: list[Conversation] = []
    characters = 0
    for conversation in conversations:
        group.append(conversation)
        characters += sum(len(message.text) for message in conversation.messages)
        if len(group) == _ROW_GROUP or characters > _ROW_GROUP_CHARACTERS:
            yield group
            group, characters = [], 0
    if group:
        yield group


def _table(group: list[Conversation]) -> pa.Table:
    ends = [0]
    for conversation in group:
        ends.append(ends[-1] + len(conversation.messages))
    messages = [message for conversation in group for message in conversation.messages]
    flat = pa.StructArray.from_arrays(
        [
            pa.array([message.role for message in messages], pa.string()),
            pa.array([message.text for message in messages], pa.string()),
        ],
        names=["role", "text"],
    )
    columns = [
        pa.array([conversation.id for conversation in group], pa.string()),
        pa.array([conversation.record for conversation in group], pa.int64()),
        pa.ListArray.from_arrays(pa.array(ends, pa.int32()), flat),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)
