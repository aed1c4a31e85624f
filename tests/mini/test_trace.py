"""Reading a Parquet trace: what it holds, and the errors that name file and fault."""

import json

import pytest

from mini_vllm.errors import MiniError
from mini_vllm.tools.trace import read_trace

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

COLUMNS = {
    "request_id": ["a", "b"],
    "arrival_time": [0.0, 1.0],
    "priority": [0, 0],
    "prompt_tokens": [3, 5],
    "output_tokens": [2, 1],
    "stream": [0, 0],
    "stream_tokens": [[1, 2, 3, 4, 5, 6], None],
}


def write(path, metadata=None, **changed):
    """A trace of two requests on one stream, with columns `changed` (None: left out)."""
    columns = {name: values for name, values in {**COLUMNS, **changed}.items() if values is not None}
    table = pa.table(columns)
    parquet.write_table(table.replace_schema_metadata({"vllm_lab": json.dumps(metadata or {})}), path)
    return str(path)


def test_requests_are_prefixes_of_the_stream_that_its_first_row_holds(tmp_path):
    first, second = read_trace(write(tmp_path / "t.parquet"))
    assert (first.prompt_tokens, first.output_tokens, second.total_tokens) == (3, 2, 6)
    assert second.token_bytes.startswith(first.token_bytes)
    assert [request.request_id for request in read_trace(write(tmp_path / "t.parquet"), 1)] == ["a"]


def test_of_block_ids_only_the_prompts_full_blocks_are_shared(tmp_path):
    metadata = {"unit": "block", "block_tokens": 2}
    first, second = read_trace(write(tmp_path / "t.parquet", metadata))
    assert [first.block(2, n) for n in range(3)] == [
        number.to_bytes(4, "little", signed=True) for number in (1, -1, -1)
    ]
    assert second.token_bytes[:12] == b"".join(n.to_bytes(4, "little", signed=True) for n in (1, 2, -2))
    assert (first.total_tokens, first.tokens_per_id) == (5, 2)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"priority": None}, "not a trace of this project .*priority"),
        ({"stream_tokens": None}, "not a trace of this project .*stream_tokens"),
        ({"request_id": ["a", "a"]}, "request_id 'a' is given twice"),
        ({"arrival_time": [-1.0, 0.0]}, "a: arrival_time must be seconds"),
        ({"arrival_time": [0.0, float("nan")]}, "b: arrival_time must be seconds"),
        ({"output_tokens": [1, 0]}, "b: prompt and output need a token each"),
        ({"priority": [0, None]}, "a row has no priority"),
        ({"metadata": {"unit": "block"}}, "block_tokens"),
        ({"stream_tokens": [[1, 2, 3], None]}, "a: its stream has 3 ids, 5 are needed"),
        ({"stream_tokens": [None, [1, 2, 3, 4, 5, 6]]}, "a: no row up to it has the ids of its stream"),
    ],
)
def test_a_broken_parquet_trace_is_named_with_its_file(tmp_path, changed, named):
    path = write(tmp_path / "broken.parquet", **changed)
    with pytest.raises(MiniError, match=named) as caught:
        read_trace(path)
    assert path in str(caught.value)


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
@pytest.mark.parametrize("limit", [-1, 0])
def test_a_limit_below_one_is_refused_in_every_format(tmp_path, suffix, limit):
    path = tmp_path / f"t.{suffix}"
    if suffix == "parquet":
        write(path)
    else:
        row = {"request_id": "a", "arrival_time": 0, "prompt_token_ids": [1], "output_token_ids": [2]}
        path.write_text(json.dumps(row))
    with pytest.raises(MiniError, match=f"limit is {limit}, must be at least 1"):
        read_trace(str(path), limit)


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("t.csv", "ends in .jsonl or .parquet"),
        ("none.parquet", "no such file"),
        ("text.parquet", "not a trace"),
    ],
)
def test_what_is_no_trace_is_named(tmp_path, name, named):
    (tmp_path / "text.parquet").write_text("no Parquet")
    with pytest.raises(MiniError, match=named):
        read_trace(str(tmp_path / name))
