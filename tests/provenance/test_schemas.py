"""What a job wrote must fit its schema, or no document is made."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from vllm_lab.common.errors import LabError
from vllm_lab.provenance.schemas import check

OBJECT = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
COLUMNS = {"columns": {"name": "string", "n": "int", "x": "float?"}}


@pytest.fixture
def schema(tmp_path):
    def write(value):
        path = tmp_path / "x.schema.yaml"
        path.write_text(yaml.safe_dump(value, sort_keys=False))
        return path

    return write


def test_json_that_fits_passes_and_other_json_is_named_with_the_place(tmp_path, schema):
    file = tmp_path / "x.json"
    file.write_text(json.dumps({"n": 1}))
    check(file, schema(OBJECT))
    file.write_text(json.dumps({"n": "one"}))
    with pytest.raises(LabError, match=r"x\.json: does not fit .*: n: 'one' is not of type 'integer'"):
        check(file, schema(OBJECT))


def test_json_lines_are_checked_line_by_line(tmp_path, schema):
    file = tmp_path / "x.jsonl"
    file.write_text('{"n": 1}\n{"n": 2}\n')
    check(file, schema(OBJECT))
    file.write_text('{"n": 1}\n{}\n')
    with pytest.raises(LabError, match="line 2: the whole: 'n' is a required property"):
        check(file, schema(OBJECT))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name,n,x\na,1,0.5\nb,2,\n", None),
        ("name,n\na,1\n", "its columns are name, n, not name, n, x"),
        ("name,n,x\na,1\n", "Expected 3 columns, got 2"),
        ("name,n,x\na,1,1\nb,one,1\n", "invalid value 'one'"),
        ("name,n,x\na,1,1\na,,1\n", "row 2, n: empty"),
        ("name,n,x\na,1,inf\n,1,1e-05\n", None),
        ("", "its columns are"),
    ],
)
def test_a_csv_is_checked_by_columns_and_types(tmp_path, schema, text, problem):
    file = tmp_path / "x.csv"
    file.write_text(text)
    if problem is None:
        check(file, schema(COLUMNS))
    else:
        with pytest.raises(LabError, match=problem):
            check(file, schema(COLUMNS))


def test_a_parquet_file_is_checked_by_columns_and_arrow_types(tmp_path, schema):
    file = tmp_path / "x.parquet"
    pq.write_table(pa.table({"n": pa.array([1], pa.int32())}), file)
    check(file, schema({"columns": {"n": "int32"}}))
    with pytest.raises(LabError, match="int64"):
        check(file, schema({"columns": {"n": "int64"}}))
