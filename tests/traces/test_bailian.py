"""Bailian's traces come in with their chats, whether or not the partial last block has an id."""

import json

import pytest

from vllm_lab.common.errors import LabError
from vllm_lab.sharing.analysis import Sharing
from vllm_lab.traces.formats import IMPORTS
from vllm_lab.traces.prefix_tree import StreamOrder
from vllm_lab.traces.trace import Trace


def chat(chat_id, parent, time, tokens, ids, turn=1):
    return {
        "chat_id": chat_id, "parent_chat_id": parent, "timestamp": time, "input_length": tokens,
        "output_length": 7, "type": "text", "turn": turn, "hash_ids": ids,
    }  # fmt: skip


RECORDS = [
    chat(160, 159, 61.5, 40, [9, 8, 4], turn=2),
    chat(159, -1, 1.25, 32, [9, 8]),
    chat(7, 3, 70.0, 20, [5, 4], turn=4),  # its parent came before the trace
    chat(161, 160, 80.0, 49, [9, 8, 6, 2], turn=3),
]


@pytest.fixture
def write(tmp_path):
    def write(records):
        path = tmp_path / "b.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        return path

    return write


def test_chats_are_conversations_and_times_are_seconds(write, tmp_path):
    IMPORTS["bailian"].read(write(RECORDS)).write(tmp_path / "b.parquet")
    trace = Trace.read(tmp_path / "b.parquet")
    assert trace.request_id == ["chat159", "chat160", "chat7", "chat161"]
    assert trace.conversation_id == ["chat159", "chat159", "chat3", "chat159"]
    assert trace.turn.tolist() == [1, 2, 4, 3]
    assert trace.arrival_time.tolist() == [1.25, 61.5, 70.0, 80.0]
    assert (trace.unit, trace.block_tokens) == ("block", 16)


def test_a_block_is_its_whole_prefix_although_its_hash_is_not(write):
    """Block 4 comes after other blocks in chat 7, so it is not shared."""
    trace = IMPORTS["bailian"].read(write(RECORDS))
    found = Sharing.of(trace, StreamOrder.of(trace), 16)
    assert found.shared_blocks.tolist() == [0, 2, 0, 2]


def test_a_partial_block_without_an_id_gets_one_of_its_own(write):
    trace = IMPORTS["bailian"].read(write([chat(1, -1, 0, 20, [3]), chat(2, -1, 1, 20, [3])]))
    assert [trace.prompt(row).tolist() for row in range(2)] == [[3, 4], [3, 5]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hash_ids": [1, 2, 3, 4]}, "4 hash_ids for input_length 40, must be 3 of 16 tokens"),
        ({"parent_chat_id": "x"}, "parent_chat_id is 'x'"),
        ({"turn": 0}, "turn is 0"),
        ({"timestamp": None}, "timestamp is None"),
    ],
)
def test_a_bad_record_is_named_with_line_and_key(write, change, message):
    path = write([RECORDS[1], RECORDS[0] | change])
    with pytest.raises(LabError, match=f"b.jsonl: line 2: {message}"):
        IMPORTS["bailian"].read(path)


def test_a_chat_given_twice_is_named(write):
    with pytest.raises(LabError, match="chat159"):
        IMPORTS["bailian"].read(write([RECORDS[1], RECORDS[1]]))


def test_a_file_without_chats_is_no_bailian_trace(write):
    with pytest.raises(LabError, match="no chat_id, parent_chat_id, turn"):
        IMPORTS["bailian"].read(
            write([{"timestamp": 0, "input_length": 1, "output_length": 1, "hash_ids": [1]}])
        )
