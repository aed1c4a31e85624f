"""Hostile records, one by one and as files: never a crash, and every record and message accounted for."""

import json
from pathlib import Path

import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from vllm_lab.data import conversations
from vllm_lab.data.conversation import DROPPED_MESSAGE, DROPPED_RECORD, RULES, Ledger, from_record
from vllm_lab.data.reader import Record

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
SPEAKER = st.sampled_from(["human", "gpt", "system", "Human ", "user", "tool"]) | ANYTHING
TEXT = st.text(st.characters(), max_size=6) | ANYTHING
MESSAGE = st.one_of(
    st.fixed_dictionaries({}, optional={"from": SPEAKER, "value": TEXT, "role": SPEAKER, "content": TEXT}),
    ANYTHING,
    ANYTHING.map(json.dumps),
)
MESSAGES = st.lists(MESSAGE, max_size=4)
HOSTILE = st.one_of(
    ANYTHING,
    st.fixed_dictionaries(
        {},
        optional={
            "id": st.sampled_from(["a_0", "a_1", "a_2", "b"]) | ANYTHING,
            "conversations": MESSAGES | MESSAGES.map(json.dumps) | ANYTHING,
            "messages": MESSAGES | ANYTHING,
        },
    ),
)


@settings(max_examples=400)
@given(value=HOSTILE)
def test_any_json_value_is_kept_or_dropped_by_exactly_one_rule(value):
    ledger = Ledger()
    conversation = from_record(Record(0, value), ledger)
    counts = ledger.counts
    dropped = sum(counts[rule] for rule, (action, _) in RULES.items() if action == DROPPED_RECORD)
    assert dropped == (conversation is None)
    if conversation:
        lost = sum(counts[rule] for rule, (action, _) in RULES.items() if action == DROPPED_MESSAGE)
        assert len(conversation.messages) + lost == conversation.raw_length
        for message in conversation.messages:
            assert message.role in ("system", "user", "assistant")
            message.text.encode()
        conversation.id.encode()


def account_of(folder: Path, raw: str, merge: bool) -> tuple[dict, list[dict]]:
    """The account and the rows of conversations.parquet for a raw file."""
    (folder / "raw").write_text(raw, encoding="utf-8")
    ledger = Ledger(merge_parts=merge)
    conversations.write(folder / "out.parquet", conversations.read(folder / "raw", ledger, merge=merge))
    report = ledger.report(len(raw))
    json.dumps(report, allow_nan=False, ensure_ascii=False).encode()
    return report, pq.read_table(folder / "out.parquet").to_pylist()


@settings(max_examples=200, deadline=None)
@given(records=st.lists(HOSTILE, max_size=8), merge=st.booleans(), as_array=st.booleans())
def test_every_record_of_a_hostile_file_is_kept_dropped_or_joined(tmp_path_factory, records, merge, as_array):
    raw = (
        json.dumps(records)
        if as_array
        else "[]\n" + "".join(json.dumps(record) + "\n" for record in records if not isinstance(record, list))
    )
    report, rows = account_of(tmp_path_factory.mktemp("hostile"), raw, merge)
    read = len(records) if as_array else sum(not isinstance(record, list) for record in records)
    assert report["records_read"] == read
    assert read == report["conversations_kept"] + report["records_dropped"] + report["records_joined"]
    assert report["conversations_kept"] == len(rows)
    assert report["messages_kept"] == sum(len(row["messages"]) for row in rows)
    ids = [row["conversation_id"] for row in rows]
    assert len(set(ids)) == len(ids)
    assert [row["record"] for row in rows] == sorted(row["record"] for row in rows)


@settings(max_examples=200, deadline=None)
@given(
    noise=st.lists(
        st.sampled_from('{}[]",:\\\n x1') | st.sampled_from(['{"id":', '"conversations":[', "null"])
    )
)
def test_every_stretch_of_a_damaged_file_is_accounted_for(tmp_path_factory, noise):
    raw = '[{"id": "a", "conversations": [{"from": "human", "value": "x"}]}, ' + "".join(noise)
    report, rows = account_of(tmp_path_factory.mktemp("damaged"), raw, merge=False)
    assert rows[0]["conversation_id"] == "a"
    assert report["records_read"] == report["conversations_kept"] + report["records_dropped"]
    if "".join(noise).strip(" \n,]["):
        assert report["records_read"] > 1
