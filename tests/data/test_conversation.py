"""The rules from record to conversation: each applied, counted, exemplified; nothing lost in silence."""

import json

import pytest

from vllm_lab.data.conversation import (
    DROPPED_MESSAGE,
    DROPPED_RECORD,
    RULES,
    Conversation,
    Ledger,
    from_record,
)
from vllm_lab.data.reader import Record

HELLO = {"from": "human", "value": "Hello"}


def read(value: object) -> tuple[Conversation | None, dict[str, int]]:
    ledger = Ledger()
    conversation = from_record(Record(3, value), ledger)
    return conversation, dict(ledger.counts)


def texts(conversation: Conversation | None) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in conversation.messages]


def record(*messages: object, **more: object) -> dict:
    return {"id": "a", "conversations": list(messages)} | more


def test_a_plain_record_meets_no_rule():
    conversation, counts = read(record(HELLO, {"from": "gpt", "value": "Hi"}))
    assert (conversation.id, conversation.record) == ("a", 3)
    assert texts(conversation) == [("user", "Hello"), ("assistant", "Hi")]
    assert counts == {}


@pytest.mark.parametrize(
    ("raw", "role"),
    [("human", "user"), ("user", "user"), ("system", "system")]
    + [(name, "assistant") for name in ("gpt", "chatgpt", "bing", "bard", "assistant")],
)
def test_the_names_of_speakers_become_three_roles(raw, role):
    assert texts(read(record({"from": raw, "value": "x"}))[0]) == [(role, "x")]


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (None, "record_not_object"),
        ([HELLO], "record_not_object"),
        ("text", "record_not_object"),
        ({"id": "a"}, "conversations_missing"),
        ({"id": "a", "conversations": None}, "conversations_missing"),
        ({"id": "a", "conversations": 5}, "conversations_not_list"),
        ({"id": "a", "conversations": {"from": "human"}}, "conversations_not_list"),
        ({"id": "a", "conversations": "no json"}, "conversations_not_list"),
        ({"id": "a", "conversations": []}, "conversation_empty"),
        ({"id": "a", "conversations": "[]"}, "conversations_json_string"),
    ],
)
def test_a_record_without_messages_is_dropped_by_the_rule_that_says_why(value, rule):
    conversation, counts = read(value)
    assert conversation is None
    assert counts[rule] == 1
    assert sum(counts[name] for name in counts if RULES[name][0] == DROPPED_RECORD) == 1


@pytest.mark.parametrize(
    ("message", "rule"),
    [
        (7, "message_not_object"),
        ("plain words", "message_not_object"),
        (["from", "human"], "message_not_object"),
        ({"value": "x"}, "role_missing"),
        ({"from": None, "value": "x"}, "role_missing"),
        ({"from": "narrator", "value": "x"}, "role_unknown"),
        ({"from": 5, "value": "x"}, "role_unknown"),
        ({"from": "human"}, "value_missing"),
        ({"from": "human", "value": None}, "value_missing"),
        ({"from": "human", "value": ["x"]}, "value_not_text"),
        ({"from": "human", "value": {"text": "x"}}, "value_not_text"),
    ],
)
def test_a_message_that_cannot_be_read_is_dropped_and_the_rest_kept(message, rule):
    conversation, counts = read(record(HELLO, message))
    assert texts(conversation) == [("user", "Hello")]
    assert counts == {rule: 1}
    assert RULES[rule][0] == DROPPED_MESSAGE
    assert read(record(message)) == (None, {rule: 1, "no_messages_left": 1})


@pytest.mark.parametrize(
    ("message", "rule", "expected"),
    [
        ({"from": " Human ", "value": "x"}, "role_spelling", ("user", "x")),
        ({"from": "GPT", "value": "x"}, "role_spelling", ("assistant", "x")),
        ({"from": "human", "value": 1.5}, "value_not_string", ("user", "1.5")),
        ({"from": "human", "value": True}, "value_not_string", ("user", "true")),
        ({"from": "human", "value": float("nan")}, "value_not_string", ("user", "NaN")),
        ({"from": "human", "value": ""}, "value_empty", ("user", "")),
        ({"from": "human", "value": "a\ud800b"}, "lone_surrogate", ("user", "a\ufffdb")),
        (json.dumps(HELLO), "message_json_string", ("user", "Hello")),
        ({"role": "user", "content": "x"}, "openai_shape", ("user", "x")),
    ],
)
def test_an_odd_message_is_mended_and_counted(message, rule, expected):
    conversation, counts = read(record(message))
    assert texts(conversation) == [expected]
    assert counts == {rule: 1}


@pytest.mark.parametrize(
    ("given", "id", "rule"),
    [
        (None, "record-3", "id_missing"),
        ("", "record-3", "id_missing"),
        (17, "17", "id_not_string"),
        (["x"], '["x"]', "id_not_string"),
        ("a\udfff", "a\ufffd", "lone_surrogate"),
    ],
)
def test_an_odd_id_is_mended_and_counted(given, id, rule):
    conversation, counts = read(record(HELLO, id=given))
    assert conversation.id == id
    assert counts == {rule: 1}


def test_openai_s_shape_is_read_with_its_own_keys():
    conversation, counts = read({"id": "a", "messages": [{"role": "assistant", "content": "x"}]})
    assert texts(conversation) == [("assistant", "x")]
    assert counts == {"openai_shape": 1}


def test_messages_in_a_string_of_json_are_read():
    conversation, counts = read({"id": "a", "conversations": json.dumps([HELLO])})
    assert texts(conversation) == [("user", "Hello")]
    assert counts == {"conversations_json_string": 1}


def test_places_in_the_raw_list_survive_a_dropped_message():
    conversation, _ = read(record(HELLO, None, HELLO))
    assert [message.position for message in conversation.messages] == [0, 2]
    assert conversation.raw_length == 3


def test_the_first_example_of_a_rule_is_kept_with_id_and_record():
    ledger = Ledger()
    for index, name in enumerate(["first", "second"]):
        from_record(Record(index, {"id": name, "conversations": [HELLO, 5]}), ledger)
    entry = ledger.report(0)["rules"]["message_not_object"]
    assert entry["count"] == 2
    assert entry["example"] == {"id": "first", "record": 0, "detail": "message 1: 5"}


def test_every_rule_is_reported_even_when_it_never_applied():
    rules = Ledger().report(0)["rules"]
    assert set(rules) == set(RULES)
    assert all(entry["count"] == 0 and entry["example"] is None for entry in rules.values())


def test_endless_kinds_of_speakers_do_not_fill_the_account():
    ledger = Ledger()
    for number in range(1000):
        ledger.count_role(f"speaker {number}")
    roles = ledger.report(0)["roles"]
    assert len(roles) == 51
    assert sum(roles.values()) == 1000


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("depth", [50, 500, 900, 980, 5000])
def test_values_nested_however_deep_are_dropped_or_kept_without_a_crash(depth):
    deep = nested(depth)
    for value in (
        deep,
        {"id": deep, "conversations": [HELLO]},
        record(deep),
        record({"from": deep, "value": deep}),
    ):
        ledger = Ledger()
        from_record(Record(0, value), ledger)
        assert sum(ledger.counts.values()) > 0
