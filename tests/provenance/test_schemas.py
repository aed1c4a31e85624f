"""What a job wrote must fit its schema, or no document is made."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from vllm_lab.common import schema as schemas
from vllm_lab.common.errors import LabError
from vllm_lab.provenance.schemas import check, check_outputs, covering

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
    file.write_text('{"n": 1}\n{"n"\n')
    with pytest.raises(LabError, match="line 2: not valid JSON"):
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


@pytest.fixture
def results(tmp_path, monkeypatch):
    """results/a/one.json in the working directory, and a schema that covers results/a/*.json."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results/a").mkdir(parents=True)
    (tmp_path / "results/a/one.json").write_text(json.dumps({"n": 1}))
    (tmp_path / "a.schema.yaml").write_text(yaml.safe_dump({"outputs": ["results/a/*.json"], **OBJECT}))
    return tmp_path


def test_an_output_is_checked_against_the_schema_that_covers_its_path(results):
    check_outputs("r", ["results/a/one.json", "results/a/log.txt"], ["a.schema.yaml"])
    (results / "results/a/one.json").write_text("{}")
    with pytest.raises(LabError, match=r"results/a/one\.json: does not fit a\.schema\.yaml"):
        check_outputs("r", ["results/a/one.json"], ["a.schema.yaml"])


@pytest.mark.parametrize("name", ["b.json", "b.jsonl", "b.csv", "b.parquet"])
def test_an_output_that_no_schema_covers_is_named(results, name):
    with pytest.raises(LabError, match=rf"results/b/{name}: no schema of rule r covers it"):
        check_outputs("r", ["results/a/one.json", f"results/b/{name}"], ["a.schema.yaml"])


def test_files_of_others_need_no_schema(results):
    check_outputs("r", ["results/data/sharegpt.json", "results/traces/exports/t.vidur.csv"], [])


def test_a_schema_that_covers_no_output_is_named(results):
    with pytest.raises(LabError, match=r"a\.schema\.yaml: it covers no output of rule r"):
        check_outputs("r", ["results/log.txt"], ["a.schema.yaml"])


def test_the_longest_pattern_decides(results):
    both = [Path("a.schema.yaml"), Path("b.schema.yaml")]
    both[1].write_text(yaml.safe_dump({"outputs": ["results/a/one.json"]}))
    assert covering("results/a/one.json", both) == both[1]
    assert covering("results/a/two.json", both) == both[0]
    assert covering("results/b/one.json", both) is None


@pytest.mark.parametrize(
    ("given", "loaded"),
    [
        ({"enum": {"$from": "vllm_lab.common.flags:DEVICES"}}, {"enum": ["cpu", "cuda"]}),
        ({"enum": [{"$from": "vllm_lab.common.flags:DEVICES"}, "tpu"]}, {"enum": ["cpu", "cuda", "tpu"]}),
        (
            {"columns": {"$from": "vllm_lab.data.conversations:SCHEMA"}},
            {
                "columns": {
                    "conversation_id": "string",
                    "record": "int64",
                    "messages": "list<element: struct<role: string, text: string>>",
                }
            },
        ),
    ],
)
def test_a_schema_takes_lists_and_tables_from_the_code(schema, given, loaded):
    assert schemas.load(schema(given)) == loaded


@pytest.mark.parametrize("reference", ["vllm_lab.common.flags:NONE", "vllm_lab.nowhere:DEVICES", "nothing"])
def test_a_reference_that_leads_nowhere_is_named(schema, reference):
    with pytest.raises(LabError, match=rf"x\.schema\.yaml: \$from {reference}: "):
        schemas.load(schema({"enum": {"$from": reference}}))
