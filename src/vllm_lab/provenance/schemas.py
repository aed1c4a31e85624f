"""Check what a job wrote against its schemas, before its document is made.

A schema is a YAML file. Its key `outputs` lists patterns of the paths that it covers. For JSON and JSON Lines
it is a JSON Schema (of the value, or of each line). For CSV and Parquet it has `columns: {name: type}` in
order. A CSV's types are int, float and string, with a "?" after them where the value may be empty. The types
of Parquet are Arrow's.
"""

import csv
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import fastjsonschema
import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from vllm_lab.common.errors import LabError
from vllm_lab.common.files import read_json
from vllm_lab.common.schema import load

SUFFIX = ".schema.yaml"
CHECKED = (".json", ".jsonl", ".csv", ".parquet")
# Files whose form others define: the raw download, the checkpoint, and the traces for other tools.
FOREIGN = (
    "results/data/sharegpt.json",
    "results/data/model/tokenizer.json",
    "results/data/model/*config.json",
    "results/data/model/*.safetensors.index.json",
    "results/traces/exports/*.*.*",
)


def check_outputs(rule: str, outputs: Iterable[str], schemas: Iterable[str]) -> None:
    """Check every table and JSON file that a rule wrote against the schema that covers it; else LabError."""
    for output, schema in matched(rule, outputs, schemas).items():
        check(Path(output), schema)


def matched(rule: str, outputs: Iterable[str], schemas: Iterable[str]) -> dict[str, Path]:
    """Output -> the schema that covers it.

    A schema without `outputs` describes files that a rule reads. LabError for a table or JSON file that no
    schema covers and that is not FOREIGN, and for a schema that covers no output.
    """
    unused = {Path(file) for file in schemas if load(Path(file)).get("outputs")}
    known, found = sorted(unused), {}
    for output in outputs:
        if not output.endswith(CHECKED):
            continue
        schema = covering(output, known)
        if schema is not None:
            found[output] = schema
            unused.discard(schema)
        elif not any(PurePosixPath(output).match(pattern) for pattern in FOREIGN):
            raise LabError(
                f"{output}: no schema of rule {rule} covers it; name a schema in the rule's needs(), "
                "and the path in the schema's `outputs`"
            )
    if unused:
        raise LabError(
            f"{min(unused)}: it covers no output of rule {rule}; remove it from the rule's needs()"
        )
    return found


def covering(output: str, schemas: Iterable[Path]) -> Path | None:
    """The schema whose `outputs` have the longest pattern that fits the path; None where no pattern fits."""
    fitting = [
        (len(pattern), schema)
        for schema in schemas
        for pattern in load(schema).get("outputs", ())
        if PurePosixPath(output).match(pattern)
    ]
    return max(fitting)[1] if fitting else None


def check(file: Path, schema_file: Path) -> None:
    """Raise LabError, naming the file and the place in it, when it does not fit its schema."""
    schema = load(schema_file)
    if file.suffix == ".json":
        problem = _json(file, schema, schema_file.parent)
    else:
        problem = {".jsonl": _json_lines, ".csv": _csv, ".parquet": _parquet}[file.suffix](file, schema)
    if problem:
        raise LabError(f"{file}: does not fit {schema_file}: {problem}")


def _json(file: Path, schema: dict[str, Any], folder: Path) -> str | None:
    """A `$ref` to another schema is a file name in `folder`, with # and the place in it."""
    registry = Registry(retrieve=lambda name: DRAFT202012.create_resource(load(folder / name)))
    return _first_error(Draft202012Validator(schema, registry=registry), read_json(file))


def _json_lines(file: Path, schema: dict[str, Any]) -> str | None:
    fits = fastjsonschema.compile(schema, use_default=False)  # some 50 times as fast, for 100,000 lines
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                value = orjson.loads(line)
                fits(value)
            except fastjsonschema.JsonSchemaValueException:
                problem = _first_error(Draft202012Validator(schema), value) or "does not fit"
                return f"line {number}: {problem}"
            except ValueError as error:
                return f"line {number}: not valid JSON: {error}"
    return None


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
