"""All conversations of a raw file, in file order; everything that is mended or dropped is counted.

The cleaned files of ShareGPT cut long conversations into parts. The id of such a record is
`<conversation>_<n>`, where n is the index of its first message in the whole conversation. A part begins where
the part before it ends, or repeats the last message of that part. `merge_parts` joins them.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vllm_lab.common.files import atomic_path
from vllm_lab.data.conversation import Conversation, Ledger, from_record
from vllm_lab.data.reader import Reader

_MESSAGE = pa.struct([("role", pa.string()), ("text", pa.string())])
SCHEMA = pa.schema(
    [("conversation_id", pa.string()), ("record", pa.int64()), ("messages", pa.list_(_MESSAGE))]
)

_PART = re.compile(r"(.+)_([0-9]{1,9})", re.DOTALL)
_ROW_GROUP = 4096  # conversations
_ROW_GROUP_CHARACTERS = 64 << 20  # an Arrow string column holds 2 GiB


def read(
    path: str | os.PathLike, ledger: Ledger, *, merge: bool = False, max_records: int | None = None
) -> Iterator[Conversation]:
    """Yield the conversations of a raw file by the rules of `ledger`, which is complete at the end.

    Reads at most `max_records` records. Holds one record in memory, or all conversations if `merge` joins
    their parts. Raises LabError for a file that is not JSON.
    """
    reader = Reader(path)
    kept = _with_distinct_ids(_readable(reader, ledger, max_records), ledger)
    if merge:
        kept = _with_distinct_ids(merge_parts(kept, ledger), ledger)
    for conversation in kept:
        _observe(conversation, ledger, merge)
        yield conversation
    if reader.array_not_closed:
        ledger.count("array_not_closed", detail=f"{Path(path).name} has no closing bracket")


def write(path: str | os.PathLike, conversations: Iterable[Conversation]) -> None:
    """Write conversations as Parquet (zstd, columns as in SCHEMA), in row groups of bounded size."""
    with atomic_path(path) as partial, pq.ParquetWriter(partial, SCHEMA, compression="zstd") as writer:
        for group in _row_groups(conversations):
            writer.write_table(pa.Table.from_pylist([_row(one) for one in group], schema=SCHEMA))


def part_of(id: str) -> tuple[str, int] | None:
    """The name of the conversation and the index of the first message; None for an id of another form."""
    match = _PART.fullmatch(id)
    return (match[1], int(match[2])) if match else None


def merge_parts(conversations: Iterable[Conversation], ledger: Ledger) -> list[Conversation]:
    """Join the parts of each conversation in the order of their indices; others stay as they are.

    A joined conversation has the name without the index, takes the place of its first part and counts its
    messages from its own beginning. A part is not joined if it contradicts the part before it where both have
    a message, or if it leaves a gap. Such a part begins a conversation of its own, under its own id. Holds
    all conversations in memory.
    """
    merged: list[Conversation] = []
    parts: dict[str, list[tuple[int, Conversation]]] = {}
    for conversation in conversations:
        part = part_of(conversation.id)
        if part is None:
            merged.append(conversation)
        else:
            parts.setdefault(part[0], []).append((part[1], conversation))
    for name, found in parts.items():
        merged.extend(_join(name, sorted(found, key=lambda part: part[0]), ledger))
    return sorted(merged, key=lambda conversation: conversation.record)


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
    """Count a kept conversation and its irregularities."""
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


def _row(conversation: Conversation) -> dict[str, Any]:
    messages = [{"role": message.role, "text": message.text} for message in conversation.messages]
    return {"conversation_id": conversation.id, "record": conversation.record, "messages": messages}


def _join(name: str, parts: list[tuple[int, Conversation]], ledger: Ledger) -> list[Conversation]:
    """Chain `parts`, ascending by index; a part that does not continue the last chain begins a new one."""
    chains: list[Conversation] = []
    for index, part in parts:
        # From here on, positions and length count from the beginning of the whole conversation.
        moved = [replace(message, position=message.position + index) for message in part.messages]
        part = replace(part, messages=moved, raw_length=index + part.raw_length)
        if chains and _continues(chains[-1], index, part, ledger):
            chain = chains[-1]
            new = [message for message in part.messages if message.position >= chain.raw_length]
            chains[-1] = replace(
                chain,
                record=min(chain.record, part.record),
                messages=chain.messages + new,
                raw_length=max(chain.raw_length, part.raw_length),
            )
            ledger.count("part_of_conversation", part.record, part.id, f"joined to {chain.id}")
        else:
            chains.append(replace(part, id=name) if index == 0 else part)
    return chains


def _continues(chain: Conversation, index: int, part: Conversation, ledger: Ledger) -> bool:
    """Whether `part`, which begins with message `index`, continues `chain`; counts why not."""
    end = chain.raw_length
    if index > end:
        ledger.count("part_gap", part.record, part.id, f"messages {end} to {index - 1} are missing")
        return False
    last = min(end, part.raw_length)
    before = [message for message in chain.messages if index <= message.position < last]
    repeated = [message for message in part.messages if message.position < last]
    if before != repeated:
        ledger.count("part_conflict", part.record, part.id, f"messages {index} to {last - 1} of {chain.id}")
        return False
    for message in repeated:
        ledger.count("part_overlap", part.record, part.id, f"message {message.position} of {chain.id}")
    return True
