"""The conversations and the model: from data/rejects.json and data/model/summary.json."""

from typing import Any

from vllm_lab.report.blocks import Block, Code, Heading, Note, Section, Text, numbers, section, table, text
from vllm_lab.report.results import Field, JsonResult, Results

_KV_BYTES = Field("KV cache per token", "bytes", ("kv_bytes_per_token",))
_SHAPE = (
    Field("Parameters", "", ("parameters",)),
    Field("Layers", "", ("layers",)),
    Field("KV heads", "", ("kv_heads",)),
    Field("Head dimension", "", ("head_dim",)),
    Field("Context length", "tokens", ("context_length",)),
    Field("Vocabulary", "tokens", ("vocab_size",)),
    _KV_BYTES,
)
_IDENTITY = {
    "source": "Source",
    "revision_or_version": "Version or revision",
    "weights": "Weights",
    "dtype": "Number format",
    "licence": "Licence",
}


def build(results: Results) -> Section | None:
    """The section; None where there is neither a conversation nor a model."""
    shown: list[Block] = []
    if results.has("data/rejects.json"):
        found = results.json("data/rejects.json", "data", "Conversations")
        shown += [Heading("Conversations", "conversations"), *_conversations(found)]
    if results.has("data/model/summary.json"):
        found = results.json("data/model/summary.json", "data.model", "Model")
        shown += [Heading("Model", "model"), *_model(found)]
    return section("data", "Data: conversations and model", shown)


def _conversations(found: JsonResult) -> list[Block]:
    rules = found.value("rules")
    applied = [name for name in sorted(rules) if rules[name]["count"]]
    silent = ", ".join(name for name in sorted(rules) if not rules[name]["count"])
    stopped = text("Reading stopped at the configured number of records. The file holds more of them.")
    opening = text(
        "{records} records were read from a ShareGPT file of {size}. {dropped} of them were dropped. {kept} "
        "conversations with {messages} messages remain. The table counts every record that was dropped or "
        "mended, by rule, and shows the first example.",
        records=found.number("records", "records_read", label="records read"),
        size=found.number("bytes", "input_bytes", label="size of the raw file"),
        dropped=found.number("records", "records_dropped", label="records dropped"),
        kept=found.number("conversations", "conversations_kept", label="conversations kept"),
        messages=found.number("messages", "messages_kept", label="messages kept"),
    )
    columns = ("Rule", "Action", "What it does", *numbers("Count"), "First example")
    rows = (_rule_row(found, name) for name in applied)
    return [
        opening,
        *([Note(stopped)] if found.value("stopped_after_max_records") else ()),
        table("rejects", "The rules that applied to the raw file.", columns, rows, found.file),
        *([text("These rules found nothing: {names}.", names=Code(silent))] if silent else ()),
        _openers(found),
        _roles_table(found),
    ]


def _rule_row(found: JsonResult, name: str) -> tuple[Any, ...]:
    rule, label = found.value("rules", name), f"times that rule {name} applied"
    count = found.number("", "rules", name, "count", id=f"rejects.{name}", label=label)
    return Code(name), rule["action"], rule["statement"], count, _example(rule["example"])


def _example(example: dict[str, Any] | None) -> Text | None:
    """The first record to which a rule applied, and a detail; where no record is named, only the detail."""
    if example is None:
        return None
    detail = example.get("detail") or ""
    if example["id"] is None:
        return Text((detail,))
    place = f" (record {example['record']})" if example["record"] is not None else ""
    return Text((Code(str(example["id"])), f"{place}: {detail}" if detail else place))


def _openers(found: JsonResult) -> Text:
    """How conversations begin, as one sentence."""
    parts: list[Any] = []
    for role in sorted(found.value("first_roles")):
        label = f"conversations that begin with a message of role {role}"
        number = found.number("conversations", "first_roles", role, label=label)
        parts += [", " if parts else "The first message of a conversation has the role ", Code(role)]
        parts += [" (", number, ")"]
    return Text((*parts, "."))


def _roles_table(found: JsonResult) -> Block:
    counts = found.value("roles")
    rows = (
        (Code(role), found.number("messages", "roles", role, label=f"messages of {role}"))
        for role in sorted(counts, key=lambda role: (-counts[role], role))
    )
    caption = "Messages by the speaker's role, as the file spells it."
    return table("roles", caption, ("Role in the file", *numbers("Messages")), rows)


def _model(found: JsonResult) -> list[Block]:
    identity = [(title, str(found.value(key))) for key, title in _IDENTITY.items() if found.has(key)]
    fetched = [("sha256 of what was fetched", Code(found.value("sha256")))] if found.has("sha256") else []
    rows = [*identity, *fetched, *((field.title, found.cell(field)) for field in _SHAPE)]
    intro = text(
        "{name} provides the tokenizer, the chat template and the shape of the KV cache. One token takes "
        "{bytes} of cache. These are its keys and its values, and each of the two has layers × KV heads × "
        "head dimension numbers.",
        name=found.value("name"),
        bytes=found.cell(_KV_BYTES),
    )
    return [intro, table("model", "The model.", ("Property", "Value"), rows, found.file)]
