"""Mooncake's traces come in whole or not at all."""

import gzip
import json
import lzma

import pytest

from vllm_lab.common.errors import LabError
from vllm_lab.traces.formats import IMPORTS
from vllm_lab.traces.trace import Trace

RECORDS = [
    {"timestamp": 3000, "input_length": 1025, "output_length": 9, "hash_ids": [4, 5, 6]},
    {"timestamp": 0, "input_length": 512, "output_length": 1, "hash_ids": [4]},
    {"timestamp": 0, "input_length": 1, "output_length": 2, "hash_ids": [7]},
]
TEXT = "".join(json.dumps(record) + "\n" for record in RECORDS).encode()


def test_requests_come_in_order_of_arrival_in_seconds_named_by_line(tmp_path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(TEXT)
    IMPORTS["mooncake"].read(path, 512).write(tmp_path / "m.parquet")
    trace = Trace.read(tmp_path / "m.parquet")
    assert trace.request_id == ["r2", "r3", "r1"]
    assert trace.arrival_time.tolist() == [0.0, 0.0, 3.0]
    assert trace.prompt(2).tolist() == [4, 5, 6]
    assert (trace.mode, trace.unit, trace.block_tokens) == ("imported", "block", 512)
    assert trace.prompt_tokens.tolist() == [512, 1, 1025]
    assert trace.output_tokens.tolist() == [1, 2, 9]


def test_compressed_files_read_alike(tmp_path) -> None:
    (tmp_path / "m.jsonl.gz").write_bytes(gzip.compress(TEXT))
    (tmp_path / "m.jsonl.xz").write_bytes(lzma.compress(TEXT))
    for name in ("m.jsonl.gz", "m.jsonl.xz"):
        assert IMPORTS["mooncake"].read(tmp_path / name, 512).stream_ids.tolist() == [4, 7, 4, 5, 6]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"timestamp": "0"}, "timestamp is '0'"),
        ({"timestamp": -5}, "timestamp is -5"),
        ({"input_length": 0}, "input_length is 0"),
        ({"output_length": 1.5}, "output_length is 1.5"),
        ({"hash_ids": [1, 2, 3]}, "3 hash_ids for input_length 1024, must be 2"),
        ({"hash_ids": [1, -2]}, "hash_ids is"),
        ({"hash_ids": "12"}, "hash_ids is '12'"),
    ],
)
def test_bad_record_is_named_with_line_and_key(tmp_path, change, message) -> None:
    good = {"timestamp": 0, "input_length": 1024, "output_length": 1, "hash_ids": [1, 2]}
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps(good) + "\n" + json.dumps(good | change) + "\n")
    with pytest.raises(LabError, match=f"m.jsonl: line 2: {message}"):
        IMPORTS["mooncake"].read(path, 512)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("m.jsonl", b"{\n", "line 1: not JSON"),
        ("m.jsonl", b"[]\n", "line 1: no timestamp, input_length"),
        ("m.jsonl", b"", "no requests"),
        ("m.jsonl.xz", lzma.compress(TEXT)[:-20], "not a whole .xz file"),
        ("m.jsonl.gz", TEXT, "not a whole .gz file"),
    ],
)
def test_file_that_is_no_trace_is_named(tmp_path, name, data, message) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(LabError, match=message) as caught:
        IMPORTS["mooncake"].read(tmp_path / name, 512)
    assert name in str(caught.value)
