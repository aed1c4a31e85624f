"""Reading records: every form of file, whole or damaged, whatever the chunk size."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vllm_lab.common.errors import LabError
from vllm_lab.data import reader as reader_module
from vllm_lab.data.reader import Reader, Record

A = {"id": "a", "conversations": [{"from": "human", "value": 'Hi {"id": "x"} ]}, ünïcödé 漢 😀'}]}
B = {"id": "b", "conversations": []}
C = {"id": "c", "conversations": [{"from": "gpt", "value": 'line\nbreak \\ " quote'}]}

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
RECORDS = VALUES.filter(lambda value: not isinstance(value, list))


def records_of(tmp_path, raw: bytes | str, chunk: int = 7) -> tuple[list[Record], Reader]:
    path = tmp_path / "raw.json"
    path.write_bytes(raw.encode() if isinstance(raw, str) else raw)
    reader = Reader(path, chunk)
    return list(reader), reader


def values_of(tmp_path, raw: bytes | str, chunk: int = 7) -> list:
    records, _ = records_of(tmp_path, raw, chunk)
    assert [record.fault for record in records] == [None] * len(records)
    return [record.value for record in records]


def array(*records: object, **layout: object) -> str:
    return json.dumps(list(records), **layout)


def lines(*records: object) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.mark.parametrize(
    "raw",
    [
        array(A, B, C),
        array(A, B, C, indent=2, ensure_ascii=False),
        array(A, B, C, separators=(",", ":")),
        lines(A, B, C),
        lines(A, B, C).replace("\n", "\r\n"),
        lines(A, B, C).rstrip(),
        "\ufeff" + array(A, B, C),
        "\ufeff" + lines(A, B, C),
        json.dumps(A, indent=2) + "\n" + json.dumps(B, indent=2) + json.dumps(C),
        array(A) + "\n" + array(B, C),
        array(A, B, C)[:-1] + ",]",
    ],
)
@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_arrays_and_json_lines_and_objects_in_a_row_give_the_same_records(tmp_path, raw, chunk):
    assert values_of(tmp_path, raw, chunk) == [A, B, C]


def test_a_single_object_is_one_record(tmp_path):
    assert values_of(tmp_path, json.dumps(A, indent=1)) == [A]


def test_an_empty_array_has_no_records(tmp_path):
    assert values_of(tmp_path, " [ ] ") == []


@given(records=st.lists(RECORDS, max_size=5), chunk=st.integers(1, 40), indent=st.sampled_from([None, 0, 2]))
def test_any_array_is_read_back_whatever_the_chunks(tmp_path_factory, records, chunk, indent):
    raw = json.dumps(records, indent=indent)
    assert values_of(tmp_path_factory.mktemp("array"), raw, chunk) == records


@given(records=st.lists(RECORDS, min_size=1, max_size=5), chunk=st.integers(1, 40), ascii=st.booleans())
def test_any_json_lines_are_read_back_whatever_the_chunks(tmp_path_factory, records, chunk, ascii):
    raw = "".join(json.dumps(record, ensure_ascii=ascii) + "\n" for record in records)
    raw = raw.encode("utf-8", "surrogatepass")
    if b"\xed" in raw:  # unescaped surrogates are not UTF-8; test_conversation has them
        return
    assert values_of(tmp_path_factory.mktemp("lines"), raw, chunk) == records


@given(cut=st.integers(1, len(array(A, B, C, indent=2)) - 1), chunk=st.sampled_from([1, 7, 1 << 20]))
def test_an_array_cut_off_anywhere_keeps_the_whole_records_and_counts_the_broken_one(
    tmp_path_factory, cut, chunk
):
    raw = array(A, B, C, indent=2)
    whole = [
        record for record in (A, B, C) if json.dumps(record, indent=2).replace("\n", "\n  ") in raw[:cut]
    ]
    records, reader = records_of(tmp_path_factory.mktemp("cut"), raw[:cut], chunk)
    assert [record.value for record in records if not record.fault] == whole
    assert [record.fault for record in records[len(whole) :]] in ([], ["truncated_record"])
    assert reader.array_not_closed


@pytest.mark.parametrize("cut", range(1, len(json.dumps(C))))
def test_json_lines_cut_off_anywhere_count_the_last_record_as_truncated(tmp_path, cut):
    records, reader = records_of(tmp_path, lines(A, B) + json.dumps(C)[:cut])
    assert [record.fault for record in records] == [None, None, "truncated_record"]
    assert not reader.array_not_closed


def test_the_offset_of_a_truncated_record_is_in_bytes_of_the_file(tmp_path):
    raw = array(A, B, C, ensure_ascii=False).encode()
    start = raw.index(b'{"id": "c"')
    records, _ = records_of(tmp_path, raw[: start + 20])
    assert records[-1].detail.startswith(f"record at byte {start}: ")


@pytest.mark.parametrize(
    "broken",
    [
        '{"id": "x", "conversations": [}',
        '{"id": "x" "conversations": []}',
        '{"id": "x", "conversations": [{"from": "human", "value": "no end}]}',
        '{"id": "x", "conversations": [{"from": "human", "value": "bad \\q escape"}]}',
        '{"id": nonsense}',
        '{"id": "x", "n": ' + "9" * 5000 + "}",
        '{"id": "x", "deep": ' + "[" * 100_000 + "]" * 100_000 + "}",
        "<html>",
    ],
)
@pytest.mark.parametrize("chunk", [7, 1 << 20])
def test_a_broken_record_costs_no_other_record(tmp_path, broken, chunk):
    in_array = "[\n" + ",\n".join([json.dumps(A), json.dumps(B), broken, json.dumps(C)]) + "\n]"
    in_lines = "\n".join([json.dumps(A), broken, json.dumps(B), json.dumps(C)])
    records, reader = records_of(tmp_path, in_array, chunk)
    assert [record.value or record.fault for record in records] == [A, B, "invalid_json", C]
    assert not reader.array_not_closed
    records, _ = records_of(tmp_path, in_lines, chunk)
    assert [record.value or record.fault for record in records] == [A, "invalid_json", B, C]


def test_a_broken_last_record_of_a_closed_array_is_not_called_truncated(tmp_path):
    records, reader = records_of(tmp_path, "[" + json.dumps(A) + ', {"id": "x" "y"}]')
    assert [record.fault for record in records] == [None, "invalid_json"]
    assert not reader.array_not_closed


def test_bytes_that_are_not_utf8_are_mended_in_their_own_record_only(tmp_path):
    raw = lines(B, A, C).encode().replace(b"Hi", b"H\xff\xfei\xc3")
    records, _ = records_of(tmp_path, raw)
    assert [record.damaged_utf8 for record in records] == [False, True, False]
    assert records[1].value["conversations"][0]["value"].startswith("H\ufffd\ufffdi\ufffd ")


def test_a_record_longer_than_the_limit_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(reader_module, "MAX_RECORD", 200)
    long = json.dumps({"id": "long", "conversations": "x" * 1000})
    records, _ = records_of(tmp_path, "\n".join([json.dumps(A), long, json.dumps(C)]), chunk=50)
    assert [record.value or record.fault for record in records] == [A, "invalid_json", C]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "the file is empty"),
        (b"<!DOCTYPE html><html>", "not JSON: it begins with '<!DOCTYPE html>"),
        (b"id,text\n1,hello\n", "not JSON: it begins with 'id,text"),
        (json.dumps(A).encode("utf-16"), "UTF-16.*iconv"),
        (json.dumps(A).encode("utf-16-le"), "binary or UTF-16"),
        (b"\x1f\x8b\x08\x00", "gzip.*gunzip raw.json"),
        (b"PK\x03\x04", "zip archive.*unzip"),
        (b"PAR1\x00", "Parquet"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer.*git lfs pull"),
    ],
)
def test_what_is_not_json_is_named_with_the_way_out(tmp_path, raw, words):
    with pytest.raises(LabError, match=rf"raw\.json: .*{words}"):
        records_of(tmp_path, raw)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(LabError, match=r"nothing\.json: no such file"):
        list(Reader(tmp_path / "nothing.json"))


@settings(max_examples=300)
@given(
    raw=st.binary(max_size=60) | st.text('[]{}",:\\ \n0e-.tnid', max_size=60).map(str.encode),
    chunk=st.integers(1, 9),
)
def test_no_bytes_whatever_crash_the_reader(tmp_path_factory, raw, chunk):
    try:
        records, _ = records_of(tmp_path_factory.mktemp("noise"), raw, chunk)
    except LabError:
        return
    assert all(record.fault in (None, "invalid_json", "truncated_record") for record in records)
    assert [record.index for record in records] == list(range(len(records)))


@settings(max_examples=200)
@given(data=st.data())
def test_the_records_do_not_depend_on_the_chunk_size(tmp_path_factory, data):
    raw = bytearray(array(A, B, C, indent=1).encode())
    for place in data.draw(st.lists(st.integers(1, len(raw) - 1), max_size=3)):
        raw[place] = data.draw(st.sampled_from(b'{}[]",:\\x\xff\n'))
    folder = tmp_path_factory.mktemp("chunks")
    small, _ = records_of(folder, bytes(raw), data.draw(st.integers(1, 50)))
    assert small == records_of(folder, bytes(raw), 1 << 20)[0]
