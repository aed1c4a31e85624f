"""The configuration: its check, which names the first mistake in one line, and its dotted keys."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from vllm_lab.common.errors import LabError
from vllm_lab.common.schema import load


def check(config: Mapping[str, Any], schema_file: Path, source: str = "config") -> None:
    """Raise LabError when the configuration, or another YAML file (`source`), does not fit the schema.

    The message is one line with the dotted key, the value found and what is allowed.
    """
    error = best_match(Draft202012Validator(load(schema_file)).iter_errors(config))
    if error is not None:
        raise LabError(f"{source}: {_explain(error, source)}")


def flat(settings: Any, key: str = "") -> dict[str, Any]:
    """Dotted key -> value of nested settings, in their order. Lists and empty mappings are values."""
    if not isinstance(settings, Mapping) or not settings:
        return {key: settings}
    return {
        inner: value
        for name, part in settings.items()
        for inner, value in flat(part, _join(key, name)).items()
    }


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
