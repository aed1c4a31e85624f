"""The conversations that were read and the model: from data/rejects.json and data/model/summary.json."""

from typing import Any

from vllm_lab.report.blocks import (
    Block,
    Cell,
    Code,
    Heading,
    Inline,
    Note,
    Section,
    Table,
    Text,
    numbers,
    text,
    texts,
)
from vllm_lab.report.results import Field, JsonResult, Results

_REJECTS, _MODEL = "data/rejects.json", "data/model/summary.json"
_SHAPE = {
    key: Field(title, unit, (key,))
    for key, title, unit in (
        ("parameters", "Parameters", ""),
        ("layers", "Layers", ""),
        ("kv_heads", "KV heads", ""),
        ("head_dim", "Head dimension", ""),
        ("context_length", "Context length", "tokens"),
        ("vocab_size", "Vocabulary", "tokens"),
        ("kv_bytes_per_token", "KV cache per token", "bytes"),
    )
}
_IDENTITY = {
    "source": "Source",
    "revision_or_version": "Version or revision",
    "weights": "Weights",
    "dtype": "Number format",
    "licence": "Licence",
}


def build(results: Results) -> Section | None:
    """The section on conversations and model; None where neither was made."""
    blocks: list[Block] = []
    if results.has(_REJECTS):
        blocks += [Heading("Conversations", "conversations")]
        blocks += _conversations(results.json(_REJECTS, "data", "Conversations"))
    if results.has(_MODEL):
        blocks += [Heading("Model", "model"), *_model(results.json(_MODEL, "data.model", "Model"))]
    return Section("data", "Data: conversations and model", tuple(blocks)) if blocks else None


def _conversations(found: JsonResult) -> list[Block]:
    rules = found.value("rules")
    applied = [name for name in sorted(rules) if rules[name]["count"]]
    silent = [name for name in sorted(rules) if not rules[name]["count"]]
    blocks: list[Block] = [_opening(found)]
    if found.value("stopped_after_max_records"):
        blocks.append(
            Note(text("Reading stopped at the configured number of records. The file holds more of them."))
        )
    blocks.append(_rules_table(found, applied))
    if silent:
        blocks.append(text("These rules found nothing: {names}.", names=Code(", ".join(silent))))
    return [*blocks, _openers(found), _roles_table(found)]


def _opening(found: JsonResult) -> Text:
    return text(
        "{records} records were read from a ShareGPT file of {size}. {dropped} of them were dropped. {kept} "
        "conversations with {messages} messages remain. The table counts every record that was dropped or "
        "mended, by rule, and shows the first example.",
        records=found.number("records", "records_read", label="records read"),
        size=found.number("bytes", "input_bytes", label="size of the raw file"),
        dropped=found.number("records", "records_dropped", label="records dropped"),
        kept=found.number("conversations", "conversations_kept", label="conversations kept"),
        messages=found.number("messages", "messages_kept", label="messages kept"),
    )


def _rules_table(found: JsonResult, names: list[str]) -> Table:
    rows = tuple(_rule_row(found, name) for name in names)
    columns = (*texts("Rule", "Action", "What it does"), *numbers("Count"), *texts("First example"))
    return Table("rejects", text("The rules that applied to the raw file."), columns, rows, (found.file,))


def _rule_row(found: JsonResult, name: str) -> tuple[Cell, ...]:
    rule = found.value("rules", name)
    count = found.number(
        "", "rules", name, "count", id=f"rejects.{name}", label=f"times that rule {name} applied"
    )
    return Code(name), str(rule["action"]), str(rule["statement"]), count, _example(rule["example"])


def _example(example: dict[str, Any] | None) -> Text | None:
    if example is None:
        return None
    detail = f": {example['detail']}" if example.get("detail") else ""
    if example["id"] is None:
        return text("{detail}", detail=detail.removeprefix(": "))
    place = f" (record {example['record']})" if example["record"] is not None else ""
    return text("{id}{place}{detail}", id=Code(str(example["id"])), place=place, detail=detail)


def _openers(found: JsonResult) -> Text:
    """How conversations begin, as one sentence."""
    parts: list[Inline] = []
    for role in sorted(found.value("first_roles")):
        label = f"conversations that begin with a message of role {role}"
        number = found.number("conversations", "first_roles", role, label=label)
        parts += [", " if parts else "The first message of a conversation has the role ", Code(role)]
        parts += [" (", number, ")"]
    return Text((*parts, "."))


def _roles_table(found: JsonResult) -> Table:
    counts = found.value("roles")
    rows = tuple(
        (Code(role), found.number("messages", "roles", role, label=f"messages of {role}"))
        for role in sorted(counts, key=lambda role: (-counts[role], role))
    )
    columns = (*texts("Role in the file"), *numbers("Messages"))
    return Table("roles", text("Messages by the speaker's role, as the file spells it."), columns, rows)


def _model(found: JsonResult) -> list[Block]:
    rows: list[tuple[Cell, ...]] = [
        (title, str(found.value(key))) for key, title in _IDENTITY.items() if found.has(key)
    ]
    rows += [("sha256 of what was fetched", Code(found.value("sha256")))] if found.has("sha256") else []
    rows += [(field.title, found.cell(field)) for field in _SHAPE.values()]
    intro = text(
        "{name} provides the tokenizer, the chat template and the shape of the KV cache. One token takes "
        "{bytes} of cache. These are its keys and its values, and each of the two has layers × KV heads × "
        "head dimension numbers.",
        name=str(found.value("name")),
        bytes=found.cell(_SHAPE["kv_bytes_per_token"]),
    )
    columns = texts("Property", "Value")
    return [intro, Table("model", text("The model."), columns, tuple(rows), (found.file,))]
