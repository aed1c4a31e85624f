"""Schemas as YAML files, in which a list or a table of the code is named instead of copied."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

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
