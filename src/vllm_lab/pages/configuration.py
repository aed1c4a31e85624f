"""docs/configuration.md: every key with its default, what the schema allows, and its comment as meaning."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node

from vllm_lab.common.display import escape
from vllm_lab.common.errors import LabError
from vllm_lab.common.files import canonical_json
from vllm_lab.common.schema import load

CONFIG = Path("config.yaml")
SCHEMA = Path("workflow/schemas/config.schema.yaml")
_INTRODUCTION = """# Configuration

Every key of [config.yaml](../config.yaml), with its default and what its
[schema](../workflow/schemas/config.schema.yaml) allows. `make docs` writes this page from these two files.
"""
_HEADER = "| key | default | allowed | meaning |\n|---|---|---|---|\n"


@dataclass(frozen=True)
class Key:
    """A key of the configuration by its path. A section has no default."""

    path: tuple[str, ...]
    default: str
    meaning: str

    @property
    def section(self) -> bool:
        """Whether it holds keys and no value."""
        return not self.default


def render(config: str, schema_file: Path) -> str:
    """The page as Markdown, from the configuration's text and its schema; LabError for an unknown key."""
    schema = load(schema_file)
    page = _INTRODUCTION
    for key in keys(config):
        allowed = _allowed(_resolve(_schema_of(key.path, schema), schema), schema)
        top = len(key.path) == 1
        page += _heading(key) if top else ""
        if not key.section or (key.meaning and not top):
            default = key.default and f"`{key.default}`"
            page += _row(f"`{'.'.join(key.path)}`", default, allowed, escape(key.meaning))
    return page


def _heading(key: Key) -> str:
    """The title of a top key's table, with the comment on the whole section."""
    about = escape(key.meaning[:1].upper() + key.meaning[1:])
    paragraph = f"{about}.\n\n" if key.section and about else ""
    return f"\n## {key.path[0]}\n\n{paragraph}{_HEADER}"


def _row(*cells: str) -> str:
    return "| " + " | ".join(re.sub(r"(?<!\\)\|", r"\|", cell) for cell in cells) + " |\n"


def keys(text: str) -> Iterator[Key]:
    """The keys of a configuration in their order, each section before its own keys."""
    lines = text.splitlines()

    def walk(mapping: MappingNode, path: tuple[str, ...], values: Mapping[Any, Any]) -> Iterator[Key]:
        for (name, node), value in zip(mapping.value, values.values(), strict=True):
            here = (*path, name.value)
            meaning = "" if mapping.flow_style else _comment(lines, name, node)
            section = isinstance(node, MappingNode) and bool(node.value)
            yield Key(here, "" if section else _text(value), meaning)
            if section:
                yield from walk(node, here, value)

    yield from walk(yaml.compose(text), (), yaml.safe_load(text))


def _text(value: Any) -> str:
    return value if isinstance(value, str) and value else canonical_json(value)


def _comment(lines: Sequence[str], name: Node, node: Node) -> str:
    """The comment after a key or after its value, with the comment lines that follow."""
    own = name.end_mark
    inline = node.start_mark.line == own.line and not (isinstance(node, MappingNode) and not node.flow_style)
    mark = node.end_mark if inline else own
    _, hash, comment = lines[mark.line][mark.column :].partition("#")
    following = lines[mark.line + 1 :]
    while hash and following and following[0].lstrip().startswith("#"):
        comment += f" {following.pop(0).lstrip(' #')}"
    return comment.strip()


def _schema_of(path: Sequence[str], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    found = schema
    for depth, name in enumerate(path, 1):
        found = _resolve(found, schema)
        others = found.get("additionalProperties")
        found = found.get("properties", {}).get(name, others if isinstance(others, dict) else None)
        if found is None:
            raise LabError(f"{SCHEMA}: no such key: {'.'.join(path[:depth])}; {CONFIG} has it")
    return found


def _resolve(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = part.get("$ref")
    return schema["$defs"][reference.rpartition("/")[2]] if reference else part


def _allowed(part: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """What a schema allows, in words; nothing for a section."""
    if "enum" in part:
        return " | ".join(f"`{_text(value)}`" for value in part["enum"])
    kind = part["type"]
    if kind == "object":
        return ""
    if kind == "array":
        return f"list of {_allowed(_resolve(part['items'], schema), schema)}"
    if kind == "string":
        pattern = f"text like `{part['pattern']}`" if "pattern" in part else "text"
        return part.get("description", pattern)
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤"}
    limits = [f"{sign} {part[name]}" for name, sign in bounds.items() if name in part]
    return f"{kind} {', '.join(limits)}".strip()
