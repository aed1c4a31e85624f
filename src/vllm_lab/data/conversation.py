"""One conversation: the rules by which a raw record becomes one, and the ledger that counts them."""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vllm_lab.data.reader import Record

DROPPED_RECORD = "dropped record"
JOINED_RECORD = "joined record"
DROPPED_MESSAGE = "dropped message"
MENDED = "mended"
KEPT = "kept"

RULES: dict[str, tuple[str, str]] = {
    # The file
    "array_not_closed":
        (KEPT, "The file ends before its array does; the complete records before that are read."),
    "invalid_json": (DROPPED_RECORD, "A stretch that is not valid JSON is skipped up to the next record."),
    "truncated_record": (DROPPED_RECORD, "The file ends inside its last record."),
    "invalid_utf8": (MENDED, "Bytes of a record that are not UTF-8 become U+FFFD."),
    # The record
    "record_not_object": (DROPPED_RECORD, "A record is not a JSON object."),
    "id_missing": (MENDED, "A record without an id is called record-<number of the record, from 0>."),
    "id_not_string": (MENDED, "An id that is not a string becomes its JSON text (the first 80 characters)."),
    "id_duplicate":
        (MENDED, "A second conversation of the same id gets the suffix #2, a third #3, and so on."),
    "conversations_missing": (DROPPED_RECORD, "A record has neither 'conversations' nor 'messages'."),
    "conversations_not_list": (DROPPED_RECORD, "The messages of a record are not a list."),
    "conversations_json_string": (MENDED, "The messages are in a string of JSON, which is read."),
    "conversation_empty": (DROPPED_RECORD, "The list of messages is empty."),
    "openai_shape":
        (MENDED, "A record in OpenAI's shape ('messages', or 'role' and 'content') is read in the same way."),
    # The message
    "message_not_object": (DROPPED_MESSAGE, "A message is not a JSON object."),
    "message_json_string": (MENDED, "A message is in a string of JSON, which is read."),
    "role_missing": (DROPPED_MESSAGE, "A message does not say who speaks."),
    "role_unknown":
        (DROPPED_MESSAGE, "The name of the speaker is not a known name of system, user or assistant."),
    "role_spelling": (MENDED, "A speaker's name in another case, or with space around it, is corrected."),
    "value_missing": (DROPPED_MESSAGE, "A message has no text, or null."),
    "value_not_string": (MENDED, "A text that is a number, true or false becomes its JSON text."),
    "value_not_text": (DROPPED_MESSAGE, "The text is a list or an object."),
    "value_empty": (KEPT, "The text of a message is the empty string."),
    "lone_surrogate": (MENDED, "Half of a surrogate pair (text that UTF-8 cannot hold) becomes U+FFFD."),
    # The conversation
    "no_messages_left": (DROPPED_RECORD, "Every message of the record was dropped."),
    "first_message_assistant": (KEPT, "The first message is the assistant's."),
    "consecutive_same_role": (KEPT, "A message follows another message of the same role."),
    "part_of_conversation":
        (KEPT, "The record is a later part of a conversation (id <conversation>_<n>, n > 0)."),
    "part_overlap": (DROPPED_MESSAGE, "A message that ends one part and begins the next is kept once."),
    "part_conflict": (KEPT, "A part contradicts the part before it where they overlap, so it is kept apart."),
    "part_gap": (KEPT, "Messages are missing between a part and the part before it, so it is kept apart."),
}  # fmt: skip
MERGED_PARTS = (
    JOINED_RECORD,
    "A later part of a conversation (id <conversation>_<n>, n > 0) is joined to it.",
)

ROLES = {"system": "system", "human": "user", "user": "user"}
ROLES |= dict.fromkeys(("gpt", "chatgpt", "bing", "bard", "assistant"), "assistant")

Note = Callable[..., None]  # takes a rule, which is counted, and details for its example

_MAX_ROLES = 50  # distinct spellings listed by name
_MAX_DETAIL = 160  # characters
_SURROGATES = re.compile("[\ud800-\udfff]")


class Ledger:
    """Counts every application of every rule, with the first one as an example."""

    def __init__(self, merge_parts: bool = False) -> None:
        self.records_read = 0
        self.conversations_kept = 0
        self.messages_kept = 0
        self.stopped_after_max_records = False
        self.counts: Counter[str] = Counter()
        self.rules = RULES | ({"part_of_conversation": MERGED_PARTS} if merge_parts else {})
        self._examples: dict[str, dict[str, Any]] = {}
        self._roles: Counter[str] = Counter()
        self._first_roles: Counter[str] = Counter()

    def count(self, rule: str, record: int | None = None, id: str | None = None, detail: str = "") -> None:
        """Count one application of `rule`. The first is its example: the conversation's id, the number of the
        record, details; None where unknown."""
        self.counts[rule] += 1
        if rule not in self._examples:
            shown = without_surrogates(detail if len(detail) <= _MAX_DETAIL else detail[:_MAX_DETAIL] + " …")
            self._examples[rule] = {"id": id, "record": record, "detail": shown}

    def count_role(self, spelling: str) -> None:
        """Count a speaker's name as the file spells it; beyond fifty spellings they share one entry."""
        listed = spelling in self._roles or len(self._roles) < _MAX_ROLES
        self._roles[spelling if listed else "(further spellings)"] += 1

    def count_kept(self, roles: list[str]) -> None:
        """Count a conversation that is kept, by the roles of its messages in order."""
        self.conversations_kept += 1
        self.messages_kept += len(roles)
        self._first_roles[roles[0]] += 1

    def applied(self, action: str) -> int:
        """How often rules with `action` were applied; at most one rule drops or joins a record."""
        return sum(self.counts[rule] for rule, (its_action, _) in self.rules.items() if its_action == action)

    def report(self, input_bytes: int) -> dict[str, Any]:
        """The counts as JSON, with every rule, also those that were never applied.

        records_read = conversations_kept + records dropped + records joined to an earlier part.
        """
        return {
            "input_bytes": input_bytes,
            "records_read": self.records_read,
            "records_dropped": self.applied(DROPPED_RECORD),
            "records_joined": self.applied(JOINED_RECORD),
            "conversations_kept": self.conversations_kept,
            "messages_kept": self.messages_kept,
            "roles": dict(self._roles),
            "first_roles": dict(self._first_roles),
            "stopped_after_max_records": self.stopped_after_max_records,
            "rules": {
                rule: {
                    "action": action,
                    "statement": statement,
                    "count": self.counts[rule],
                    "example": self._examples.get(rule),
                }
                for rule, (action, statement) in self.rules.items()
            },
        }


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


class _Dropped(Exception):
    """A record or message is dropped: the rule, and details for its example."""


def from_record(record: Record, ledger: Ledger) -> Conversation | None:
    """The conversation in `record`, or None if a rule drops it; every rule applied is counted in `ledger`."""
    identity = None

    def note(rule: str, detail: str = "") -> None:
        ledger.count(rule, record.index, identity, detail)

    try:
        if record.fault:
            raise _Dropped(record.fault, record.detail)
        if not isinstance(record.value, dict):
            raise _Dropped("record_not_object", _shown(record.value))
        identity = _identity(record, ledger)
        if record.damaged_utf8:
            note("invalid_utf8")
        raw = _raw_messages(record.value, note)
        messages = []
        for position, entry in enumerate(raw):
            try:
                messages.append(_message(entry, position, note, ledger))
            except _Dropped as dropped:
                note(*dropped.args)
        if not messages:
            raise _Dropped("no_messages_left", f"{len(raw)} messages dropped")
    except _Dropped as dropped:
        note(*dropped.args)
        return None
    has_role = any("role" in entry for entry in raw if isinstance(entry, dict))
    if has_role or "conversations" not in record.value:
        note("openai_shape")
    return Conversation(identity, record.index, messages, len(raw))


def without_surrogates(text: str) -> str:
    """`text` with each lone surrogate, which UTF-8 cannot encode, replaced by U+FFFD."""
    return _SURROGATES.sub("\ufffd", text)


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


def _raw_messages(value: dict[str, Any], note: Note) -> list[Any]:
    """The record's non-empty list of raw messages."""
    key = "conversations" if value.get("conversations") is not None else "messages"
    raw = value.get(key)
    if raw is None:
        raise _Dropped("conversations_missing", f"keys: {', '.join(value)}")
    if isinstance(unpacked := _unpack(raw), list):
        note("conversations_json_string")
        raw = unpacked
    if not isinstance(raw, list):
        raise _Dropped("conversations_not_list", _shown(raw))
    if not raw:
        raise _Dropped("conversation_empty")
    return raw


def _message(entry: Any, position: int, note: Note, ledger: Ledger) -> Message:
    here = f"message {position}"
    if isinstance(unpacked := _unpack(entry), dict):
        note("message_json_string", here)
        entry = unpacked
    if not isinstance(entry, dict):
        raise _Dropped("message_not_object", f"{here}: {_shown(entry)}")
    role = _role(_first_of(entry, "from", "role"), here, note, ledger)
    return Message(role, _text(_first_of(entry, "value", "content"), here, note), position)


def _role(given: Any, here: str, note: Note, ledger: Ledger) -> str:
    if given is None:
        raise _Dropped("role_missing", here)
    spelling = given if isinstance(given, str) else _shown(given)
    ledger.count_role(without_surrogates(spelling[:40]))
    if spelling in ROLES:
        return ROLES[spelling]
    role = ROLES.get(spelling.strip().casefold())
    if role is None:
        raise _Dropped("role_unknown", f"{here}: {_shown(given)}")
    note("role_spelling", f"{here}: {_shown(given)}")
    return role


def _text(given: Any, here: str, note: Note) -> str:
    if given is None:
        raise _Dropped("value_missing", here)
    if isinstance(given, int | float):
        note("value_not_string", f"{here}: {_shown(given)}")
        return json.dumps(given)
    if not isinstance(given, str):
        raise _Dropped("value_not_text", f"{here}: {_shown(given)}")
    if not given:
        note("value_empty", here)
    text = given if given.isascii() else without_surrogates(given)
    if text != given:
        note("lone_surrogate", here)
    return text


def _first_of(entry: dict[str, Any], sharegpt_key: str, openai_key: str) -> Any:
    value = entry.get(sharegpt_key)
    return entry.get(openai_key) if value is None else value


def _unpack(value: Any) -> Any:
    """The value that a string of JSON holds; None for anything else."""
    try:
        return json.loads(value) if isinstance(value, str) else None
    except (ValueError, RecursionError):
        return None


def _shown(value: Any) -> str:
    """The beginning of a value as JSON, for an example or instead of an id."""
    try:
        return json.dumps(value, ensure_ascii=False)[:80]
    except RecursionError:  # the encoder allows less nesting than the decoder
        return f"a deeply nested {type(value).__name__}"
