"""The Trace class keeps its promises, in memory and through files."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vllm_lab.common.errors import LabError
from vllm_lab.traces.trace import Trace

ids = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=6)
requests = st.lists(st.tuples(ids, ids, st.floats(0, 1e6)), min_size=1, max_size=6)


def shared(**changes) -> Trace:
    """Two turns on one stream, a third request on another."""
    columns = {
        "request_id": ["a-t1", "a-t2", "b-t1"],
        "conversation_id": ["a", "a", "b"],
        "turn": [1, 2, 1],
        "arrival_time": [0.5, 1.0, 1.0],
        "priority": [0, 0, -3],
        "prompt_tokens": [2, 5, 1],
        "output_tokens": [1, 2, 3],
        "stream": [0, 0, 1],
        "stream_ids": [10, 11, 12, 13, 14, 15, 16, 20, 21, 22, 23],
        "stream_offsets": [0, 7, 11],
        "metadata": {"mode": "multi_turn", "unit": "token"},
    }
    return Trace(**{**columns, **changes})


def assert_same(one: Trace, other: Trace) -> None:
    assert list(one.request_id) == list(other.request_id)
    assert list(one.conversation_id) == list(other.conversation_id)
    for name in ("turn", "arrival_time", "priority", "prompt_tokens", "output_tokens"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    for row in range(len(one)):
        assert np.array_equal(one.prompt(row), other.prompt(row))
        assert np.array_equal(one.output(row), other.output(row))


def test_prompt_and_output_are_consecutive_parts_of_the_stream() -> None:
    trace = shared()
    assert len(trace) == 3
    assert trace.prompt(1).tolist() == [10, 11, 12, 13, 14]
    assert trace.output(1).tolist() == [15, 16]
    assert trace.prompt(2).tolist() == [20]
    assert trace.output(2).tolist() == [21, 22, 23]


@settings(max_examples=30, deadline=None)
@given(given_requests=requests)
def test_parquet_and_json_lines_give_back_what_was_written(tmp_path_factory, given_requests) -> None:
    prompts, outputs, times = zip(*given_requests, strict=True)
    trace = Trace.from_requests(prompts, outputs, times)
    assert (np.diff(trace.arrival_time) >= 0).all()
    folder = tmp_path_factory.mktemp("trace")
    trace.write(folder / "t.parquet")
    trace.write_json_lines(folder / "t.jsonl", str)
    for name in ("t.parquet", "t.jsonl"):
        assert_same(trace, Trace.read(folder / name))


def test_a_shared_stream_is_stored_once_and_survives_both_forms(tmp_path) -> None:
    trace = shared()
    trace.write(tmp_path / "t.parquet")
    assert pq.read_table(tmp_path / "t.parquet")["stream_tokens"].to_pylist() == [
        [10, 11, 12, 13, 14, 15, 16],
        None,
        [20, 21, 22, 23],
    ]
    again = Trace.read(tmp_path / "t.parquet")
    assert again.metadata == {"mode": "multi_turn", "unit": "token"}
    assert_same(trace, again)
    trace.write_json_lines(tmp_path / "t.jsonl", str)
    assert_same(trace, Trace.read(tmp_path / "t.jsonl"))


def test_same_trace_same_bytes(tmp_path) -> None:
    for name in ("one", "two"):
        shared().write(tmp_path / f"{name}.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_json_lines_need_only_four_keys_and_are_sorted_by_arrival(tmp_path) -> None:
    path = tmp_path / "t.jsonl"
    lines = [
        {"request_id": name, "arrival_time": time, "prompt_token_ids": [1, 2], "output_token_ids": [3]}
        for name, time in [("late", 2), ("tie1", 1.0), ("tie2", 1)]
    ]
    path.write_text("\n\n".join(map(json.dumps, lines)))
    trace = Trace.read(path)
    assert list(trace.request_id) == ["tie1", "tie2", "late"]
    assert trace.priority.tolist() == [0, 0, 0]
    assert trace.turn.tolist() == [1, 1, 1]


def test_a_trace_of_blocks_has_block_ids_for_prompts_and_no_outputs() -> None:
    metadata = {"mode": "imported", "unit": "block", "block_tokens": 512}
    trace = shared(prompt_tokens=[513, 1024, 1], stream=[0, 1, 2], stream_ids=[1, 2, 1, 3, 4],
                   stream_offsets=[0, 2, 4, 5], metadata=metadata)  # fmt: skip
    assert trace.prompt_units.tolist() == [2, 2, 1]
    assert trace.prompt(0).tolist() == [1, 2]
    with pytest.raises(LabError, match="a-t1: this trace holds hashes"):
        trace.output(0)


def test_arrays_are_read_only_and_the_callers_stay_writable() -> None:
    mine = np.array([0, 0, 5], dtype=np.int32)
    trace = shared(priority=mine)
    mine[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        trace.priority[0] = 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arrival_time": [1.0, 0.5, 1.0]}, r"row 1 \(request_id a-t2\): arrival_time is 0.5"),
        ({"arrival_time": [0.5, float("nan"), 1.0]}, "row 1 .*arrival_time is nan"),
        ({"arrival_time": [-1.0, 0.5, 1.0]}, "row 0 .*arrival_time is -1.0, must be seconds >= 0"),
        ({"prompt_tokens": [2, 6, 1]}, "row 1 .*prompt_tokens is 6, must be with its output no longer"),
        ({"prompt_tokens": [0, 5, 1]}, "row 0 .*prompt_tokens is 0, must be at least 1"),
        ({"output_tokens": [1, 2, 0]}, "row 2 .*output_tokens is 0"),
        ({"request_id": ["x", "y", "x"]}, r"row 2 \(request_id x\): request_id is x, must be given once"),
        ({"stream": [1, 1, 0]}, "row 0 .*stream is 1, must be numbered 0, 1"),
        ({"stream": [0, 0, 0], "prompt_tokens": [1, 1, 1]}, "2 streams, but rows use only 1"),
        ({"stream_ids": [10, 11, 12, 13, 14, 15, 16, 20, -1, 22, 23]}, "row 2 .*ids >= 0"),
        ({"turn": [1, 2]}, "turn has 2 rows, request_id has 3"),
        ({"metadata": {"mode": "x", "unit": "page"}}, "metadata needs mode and unit"),
        ({"metadata": {"mode": "x", "unit": "block"}}, "block_tokens"),
    ],
)
def test_broken_promise_is_named(changes, message) -> None:
    with pytest.raises(LabError, match=message):
        shared(**changes)


def test_bad_parquet_is_named_with_file_and_column(tmp_path) -> None:
    path = tmp_path / "t.parquet"
    shared().write(path)
    table = pq.read_table(path)
    nulls = pa.array([1, None, 1], pa.int32())
    cases = {
        "no column 'turn'": table.drop_columns("turn"),
        "column 'turn' is double": table.set_column(2, "turn", pa.array([1.0, 2.0, 1.0])),
        "row 1: turn is missing": table.set_column(2, "turn", nulls),
        "no schema metadata": table.replace_schema_metadata(None),
        "stream_tokens must be in the first row": table.set_column(
            8, "stream_tokens", pa.array([[1] * 7, [1], [1] * 4], pa.list_(pa.int32()))
        ),
        "row 1 .*prompt_tokens is 5": table.set_column(
            8, "stream_tokens", pa.array([[1] * 6, None, [1] * 4], pa.list_(pa.int32()))
        ),
    }
    for message, broken in cases.items():
        pq.write_table(broken, path)
        with pytest.raises(LabError, match=message) as caught:
            Trace.read(path)
        assert str(path) in str(caught.value)


def test_files_that_are_no_traces_are_named(tmp_path) -> None:
    (tmp_path / "text.parquet").write_text("hello")
    for name, message in {
        "text.parquet": "not a Parquet file",
        "none.jsonl": "no such file",
        "t.csv": "ends in",
    }.items():
        with pytest.raises(LabError, match=message) as caught:
            Trace.read(tmp_path / name)
        assert name in str(caught.value)


GOOD = {"request_id": "a", "arrival_time": 1.0, "prompt_token_ids": [1], "output_token_ids": [2]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"request_id": 5}, "request_id is 5, must be a string"),
        ({"arrival_time": "1"}, "arrival_time is '1', must be seconds"),
        ({"arrival_time": -1}, "arrival_time is -1"),
        ({"priority": 1.5}, "priority is 1.5, must be an integer"),
        ({"prompt_token_ids": []}, "prompt_token_ids is .*at least one"),
        ({"prompt_token_ids": [1, "2"]}, "prompt_token_ids holds something other"),
        ({"prompt_token_ids": [1, [2]]}, "prompt_token_ids holds something other"),
        ({"prompt_token_ids": [1.5]}, "prompt_token_ids holds something other"),
        ({"output_token_ids": [-1]}, "output_token_ids holds something other"),
        ({"output_token_ids": [2**31]}, "output_token_ids holds something other"),
        ({"output_token_ids": [2**63]}, "output_token_ids holds something other"),
        ({"output_token_ids": None}, "output_token_ids is None"),
    ],
)
def test_bad_json_line_is_named_with_line_and_key(tmp_path, change, message) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + json.dumps({**GOOD, "request_id": "b", **change}) + "\n")
    with pytest.raises(LabError, match=f"t.jsonl: line 2: {message}"):
        Trace.read(path)


@pytest.mark.parametrize(
    ("text", "message"), [("{", "not JSON"), ("[]", "not an object"), ("{}", "no request_id, ")]
)
def test_json_line_that_is_no_request_is_named(tmp_path, text, message) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(text)
    with pytest.raises(LabError, match=f"t.jsonl: line 1: {message}"):
        Trace.read(path)
