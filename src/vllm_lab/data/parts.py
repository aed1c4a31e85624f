"""Joining records that are parts of one conversation.

ShareGPT's cleaned files cut long conversations: a record's id is `<conversation>_<n>`, and n is the index
that the record's first message has in the whole conversation. A part begins where the one before ends, or
repeats its last message.
"""

import re
from collections.abc import Iterable
from dataclasses import replace

from vllm_lab.data.conversation import Conversation, Message
from vllm_lab.data.ledger import Ledger

_PART = re.compile(r"(.+)_([0-9]{1,9})", re.DOTALL)


def part_of(id: str) -> tuple[str, int] | None:
    """The conversation's name and the index of the part's first message; None for an id of another form."""
    match = _PART.fullmatch(id)
    return (match[1], int(match[2])) if match else None


def merge_parts(conversations: Iterable[Conversation], ledger: Ledger) -> list[Conversation]:
    """Join the parts of each conversation, in the order of their indices; others pass unchanged.

    A joined conversation is called by its name alone, stands where its first part stood and counts its
    messages from its own beginning. A part that contradicts the part before where both have a message, or
    that leaves a gap after it, is not joined: it begins a conversation of its own, under its own id. Holds
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


def _join(name: str, parts: list[tuple[int, Conversation]], ledger: Ledger) -> list[Conversation]:
    """Chain `parts`, ascending by index; a new chain begins wherever one does not continue the last."""
    chains: list[Conversation] = []
    for index, part in parts:
        moved = [replace(message, position=message.position + index) for message in part.messages]
        if chains and _continues(chains[-1], index, moved, part, ledger):
            chains[-1] = _extended(chains[-1], index, moved, part)
            ledger.count("part_of_conversation", part.record, part.id, f"joined to {chains[-1].id}")
        else:
            id = name if index == 0 else part.id
            chains.append(replace(part, id=id, messages=moved, raw_length=index + part.raw_length))
    return chains


def _continues(
    chain: Conversation, index: int, moved: list[Message], part: Conversation, ledger: Ledger
) -> bool:
    """Whether `part`, whose messages `moved` begin at `index`, goes on where `chain` is; counts why not."""
    end = chain.raw_length
    if index > end:
        ledger.count("part_gap", part.record, part.id, f"messages {end} to {index - 1} are missing")
        return False
    last = min(end, index + part.raw_length)
    ours = [message for message in chain.messages if index <= message.position < last]
    theirs = [message for message in moved if message.position < last]
    if ours != theirs:
        ledger.count("part_conflict", part.record, part.id, f"messages {index} to {last - 1} of {chain.id}")
        return False
    for message in theirs:
        ledger.count("part_overlap", part.record, part.id, f"message {message.position} of {chain.id}")
    return True


def _extended(chain: Conversation, index: int, moved: list[Message], part: Conversation) -> Conversation:
    new = [message for message in moved if message.position >= chain.raw_length]
    return replace(
        chain,
        record=min(chain.record, part.record),
        messages=chain.messages + new,
        raw_length=max(chain.raw_length, index + part.raw_length),
    )
