"""Check what a job wrote against its schema, before its document is made.

A schema is a YAML file. For JSON and JSON Lines it is a JSON Schema (of the value, or of each line). For CSV
and Parquet it is `columns: {name: type}` in order. A CSV's types are int, float and string, with a "?" behind
them where the value may be empty; a Parquet's are Arrow's.
"""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastjsonschema
import orjson
import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from vllm_lab.common.errors import LabError
from vllm_lab.common.files import read_json


def check(file: Path, schema_file: Path) -> None:
    """Raise LabError, naming the file and the place in it, when it does not fit its schema."""
    schema = yaml.safe_load(schema_file.read_text(encoding="utf-8"))
    checks: dict[str, Callable[[Path, dict[str, Any]], str | None]] = {
        ".json": _json,
        ".jsonl": _json_lines,
        ".csv": _csv,
        ".parquet": _parquet,
    }
    problem = checks[file.suffix](file, schema)
    if problem:
        raise LabError(f"{file}: does not fit {schema_file}: {problem}")


def _json(file: Path, schema: dict[str, Any]) -> str | None:
    return _first_error(Draft202012Validator(schema), read_json(file))


def _json_lines(file: Path, schema: dict[str, Any]) -> str | None:
    fits = fastjsonschema.compile(schema, use_default=False)  # some 50 times as fast, for 100,000 lines
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                fits(orjson.loads(line))
            except (fastjsonschema.JsonSchemaValueException, ValueError):
                return f"line {number}: {_line_problem(schema, line)}"
    return None


def _line_problem(schema: dict[str, Any], line: bytes) -> str:
    """What is wrong with a line that the quick check refused."""
    try:
        return _first_error(Draft202012Validator(schema), json.loads(line)) or "does not fit"
    except ValueError as error:
        return str(error)


def _first_error(validator: Draft202012Validator, value: Any) -> str | None:
    error = best_match(validator.iter_errors(value))
    if error is None:
        return None
    place = ".".join(str(part) for part in error.absolute_path) or "the whole"
    return f"{place}: {error.message[:300]}"


def _csv(file: Path, schema: dict[str, Any]) -> str | None:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    columns = schema["columns"]
    with file.open(encoding="utf-8", newline="") as lines:
        header = next(csv.reader(lines), [])
    if header != list(columns):
        return f"its columns are {', '.join(header)}, not {', '.join(columns)}"
    kinds = {"int": pa.int64(), "float": pa.float64(), "string": pa.string()}
    types = {name: kinds[kind.removesuffix("?")] for name, kind in columns.items()}
    try:
        table = arrow_csv.read_csv(
            file, convert_options=arrow_csv.ConvertOptions(column_types=types, null_values=[""])
        )
    except pa.ArrowInvalid as error:
        return str(error)
    for name, kind in columns.items():
        if not kind.endswith("?") and table[name].null_count:
            return f"row {table[name].to_pylist().index(None) + 1}, {name}: empty"
    return None


def _parquet(file: Path, schema: dict[str, Any]) -> str | None:
    import pyarrow.parquet as pq

    found = {field.name: str(field.type) for field in pq.read_schema(file)}
    return None if found == schema["columns"] else f"its columns are {found}, not {schema['columns']}"
