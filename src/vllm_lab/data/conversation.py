"""One conversation, and how it is made from a raw record."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from vllm_lab.data.ledger import Ledger, without_surrogates
from vllm_lab.data.reader import Record

SPELLINGS = {
    "system": ("system",),
    "user": ("human", "user"),
    "assistant": ("gpt", "chatgpt", "bing", "bard", "assistant"),
}
ROLES = {spelling: role for role, spellings in SPELLINGS.items() for spelling in spellings}

Note = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Message:
    """Role of the speaker (system, user or assistant), text, and index in the raw list (from 0)."""

    role: str
    text: str
    position: int


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation of at least one message.

    `record` is the number of the raw record, or of the first one if several were joined. `raw_length` is the
    number of messages in it, with those that were dropped.
    """

    id: str
    record: int
    messages: list[Message]
    raw_length: int


def from_record(record: Record, ledger: Ledger) -> Conversation | None:
    """The conversation in `record`, or None if a rule drops it; every rule applied is counted in `ledger`."""
    if record.fault:
        ledger.count(record.fault, record.index, detail=record.detail)
        return None
    if not isinstance(record.value, dict):
        ledger.count("record_not_object", record.index, detail=_shown(record.value))
        return None
    identity = _identity(record, ledger)
    note = partial(ledger.count, record=record.index, id=identity)
    if record.damaged_utf8:
        note("invalid_utf8")
    raw = _raw_messages(record.value, note)
    if raw is None:
        return None
    spoken = (_message(entry, position, note, ledger) for position, entry in enumerate(raw))
    messages = [message for message in spoken if message]
    if not messages:
        note("no_messages_left", detail=f"{len(raw)} messages dropped")
        return None
    has_role = any("role" in entry for entry in raw if isinstance(entry, dict))
    if has_role or "conversations" not in record.value:
        note("openai_shape")
    return Conversation(identity, record.index, messages, len(raw))


def _identity(record: Record, ledger: Ledger) -> str:
    given = record.value.get("id")
    if given is None or given == "":
        identity = f"record-{record.index}"
        ledger.count("id_missing", record.index, identity)
        return identity
    text = given if isinstance(given, str) else _shown(given)
    identity = without_surrogates(text)
    if not isinstance(given, str):
        ledger.count("id_not_string", record.index, identity, text)
    elif identity != text:
        ledger.count("lone_surrogate", record.index, identity, "in the id")
    return identity


def _raw_messages(value: dict[str, Any], note: Note) -> list[Any] | None:
    """The record's non-empty list of raw messages, or None if there is none."""
    key = "conversations" if value.get("conversations") is not None else "messages"
    raw = value.get(key)
    if raw is None:
        note("conversations_missing", detail=f"keys: {', '.join(value)}")
        return None
    if isinstance(raw, str):
        unpacked = _unpack(raw)
        if isinstance(unpacked, list):
            note("conversations_json_string")
            raw = unpacked
    if not isinstance(raw, list):
        note("conversations_not_list", detail=_shown(raw))
        return None
    if not raw:
        note("conversation_empty")
        return None
    return raw


def _message(entry: Any, position: int, note: Note, ledger: Ledger) -> Message | None:
    if isinstance(entry, str):
        unpacked = _unpack(entry)
        if isinstance(unpacked, dict):
            note("message_json_string", detail=f"message {position}")
            entry = unpacked
    if not isinstance(entry, dict):
        note("message_not_object", detail=f"message {position}: {_shown(entry)}")
        return None
    role = _role(_first_of(entry, "from", "role"), position, note, ledger)
    if role is None:
        return None
    text = _text(_first_of(entry, "value", "content"), position, note)
    return None if text is None else Message(role, text, position)


def _role(given: Any, position: int, note: Note, ledger: Ledger) -> str | None:
    if given is None:
        note("role_missing", detail=f"message {position}")
        return None
    spelling = given if isinstance(given, str) else _shown(given)
    ledger.count_role(without_surrogates(spelling[:40]))
    if spelling in ROLES:
        return ROLES[spelling]
    role = ROLES.get(spelling.strip().casefold())
    note("role_spelling" if role else "role_unknown", detail=f"message {position}: {_shown(given)}")
    return role


def _text(given: Any, position: int, note: Note) -> str | None:
    if given is None:
        note("value_missing", detail=f"message {position}")
        return None
    if isinstance(given, int | float):
        note("value_not_string", detail=f"message {position}: {_shown(given)}")
        return json.dumps(given)
    if not isinstance(given, str):
        note("value_not_text", detail=f"message {position}: {_shown(given)}")
        return None
    if not given:
        note("value_empty", detail=f"message {position}")
    text = given if given.isascii() else without_surrogates(given)
    if text != given:
        note("lone_surrogate", detail=f"message {position}")
    return text


def _first_of(entry: dict[str, Any], sharegpt_key: str, openai_key: str) -> Any:
    value = entry.get(sharegpt_key)
    return entry.get(openai_key) if value is None else value


def _unpack(text: str) -> Any:
    """The value of a string of JSON; None for any other string, which the caller counts as a string."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _shown(value: Any) -> str:
    """The beginning of a value as JSON, for an example or instead of an id."""
    try:
        return json.dumps(value, ensure_ascii=False)[:80]
    except RecursionError:  # the encoder allows less nesting than the decoder
        return f"a deeply nested {type(value).__name__}"
