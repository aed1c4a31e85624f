"""Schemas as YAML files, and what fits them: the first mistake is named in one line.

In a schema, a list or a table of the code is named instead of copied: `{$from: "module:NAME"}`.
"""

import difflib
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from vllm_lab.common.errors import LabError

FROM = "$from"


def load(file: Path) -> dict[str, Any]:
    """The schema in a YAML file, with each `{$from: "module:NAME"}` replaced by what the code declares there.

    A mapping stays a mapping, an Arrow schema becomes {column: type}, everything else becomes a list. In
    `enum` and in lists, a mapping gives its keys. A `$from` inside a list adds its items to that list.
    LabError names the file and a reference that leads nowhere.
    """
    return _resolved(yaml.safe_load(file.read_text(encoding="utf-8")), file)


def _resolved(part: Any, file: Path) -> Any:
    if isinstance(part, list):
        return [item for entry in part for item in _items(entry, file)]
    if not isinstance(part, dict):
        return part
    if part.keys() == {FROM}:
        return _declared(part[FROM], file)
    return {
        name: _items(value, file) if name == "enum" and isinstance(value, dict) else _resolved(value, file)
        for name, value in part.items()
    }


def _items(entry: Any, file: Path) -> list[Any]:
    found = _resolved(entry, file)
    return list(found) if isinstance(entry, dict) and entry.keys() == {FROM} else [found]


def _declared(reference: str, file: Path) -> Any:
    module, _, name = reference.partition(":")
    try:
        value = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise LabError(
            f"{file}: {FROM} {reference}: {error}; write module:NAME of a table in src/"
        ) from error
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "names") and hasattr(value, "types"):  # an Arrow schema
        types = (str(kind).replace("<item: ", "<element: ") for kind in value.types)  # as Parquet names them
        return dict(zip(value.names, types, strict=True))
    return list(value)


def check(config: Mapping[str, Any], schema_file: Path, source: str = "config") -> None:
    """Raise LabError when the configuration, or another YAML file (`source`), does not fit the schema.

    The message is one line with the dotted key, the value found and what is allowed.
    """
    error = best_match(Draft202012Validator(load(schema_file)).iter_errors(config))
    if error is not None:
        raise LabError(f"{source}: {_explain(error, source)}")


def _explain(error: ValidationError, source: str) -> str:
    key = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "additionalProperties":
        allowed = list(error.schema.get("properties", {}))
        unknown = next(name for name in error.instance if name not in allowed)
        close = difflib.get_close_matches(str(unknown), allowed, n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        return f"{_join(key, unknown)}: no such key; {hint}allowed here: {', '.join(allowed)}"
    if error.validator == "required":
        absent = next(name for name in error.validator_value if name not in error.instance)
        hint = "; config.yaml has it in the repository, so it was removed" if source == "config" else ""
        return f"{_join(key, absent)}: missing{hint}"
    if error.validator == "minLength" and not error.instance:
        return f"{key}: found an empty text, allowed: a non-empty one"
    if "propertyNames" in error.absolute_schema_path:
        key = _join(key, error.instance)
    return f"{key}: found {error.instance!r}, allowed: {_allowed(error)}"


def _join(key: str, name: object) -> str:
    return f"{key}.{name}" if key else str(name)


def _allowed(error: ValidationError) -> str:
    wanted = error.validator_value
    return {
        "enum": lambda: " | ".join(map(str, wanted)),
        "type": lambda: f"{wanted}",
        "pattern": lambda: error.schema.get("description", f"text that matches {wanted}"),
        "minimum": lambda: f"at least {wanted}",
        "exclusiveMinimum": lambda: f"more than {wanted}",
        "minItems": lambda: f"a list of at least {wanted}",
        "minProperties": lambda: f"at least {wanted} entry",
        "uniqueItems": lambda: "a list without repetitions",
    }.get(error.validator, lambda: error.message)()
