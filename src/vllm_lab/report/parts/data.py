"""What the other stages read: conversations and model, token streams and traces, each from its summary."""

from collections.abc import Iterable
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
from vllm_lab.report.results import Field, JsonResult, Results, grid

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


def data(results: Results) -> Section | None:
    """The section on conversations and model; None where neither was made."""
    blocks: list[Block] = []
    if results.has("data/rejects.json"):
        found = results.json("data/rejects.json", "data", "Conversations")
        blocks += [Heading("Conversations", "conversations"), *_conversations(found)]
    if results.has("data/model/summary.json"):
        found = results.json("data/model/summary.json", "data.model", "Model")
        blocks += [Heading("Model", "model"), *_model(found)]
    return Section("data", "Data: conversations and model", tuple(blocks)) if blocks else None


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
    columns = (*texts("Rule", "Action", "What it does"), *numbers("Count"), *texts("First example"))
    rows = tuple(_rule_row(found, name) for name in applied)
    return [
        opening,
        *([Note(stopped)] if found.value("stopped_after_max_records") else ()),
        Table("rejects", text("The rules that applied to the raw file."), columns, rows, (found.file,)),
        *([text("These rules found nothing: {names}.", names=Code(silent))] if silent else ()),
        _openers(found),
        _roles_table(found),
    ]


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
    rows += [(field.title, found.cell(field)) for field in _SHAPE]
    intro = text(
        "{name} provides the tokenizer, the chat template and the shape of the KV cache. One token takes "
        "{bytes} of cache. These are its keys and its values, and each of the two has layers × KV heads × "
        "head dimension numbers.",
        name=str(found.value("name")),
        bytes=found.cell(_KV_BYTES),
    )
    columns = texts("Property", "Value")
    return [intro, Table("model", text("The model."), columns, tuple(rows), (found.file,))]


OWN = ("single_turn", "multi_turn")
_STREAM_FIELDS = (
    Field("Conversations rendered", "conversations", ("conversations",)),
    Field("Token streams", "streams", ("streams",)),
    Field("Streams stored whole, because the template rewrites history", "streams", ("explicit_streams",)),
    Field("Tokens", "tokens", ("tokens",)),
    Field("Conversations with the text of a special token", "conversations", ("special_text_conversations",)),
    Field("Conversations that the template refused", "conversations", ("template_refused", "count")),
    Field("User turns without a reply", "", ("unanswered_turns",)),
)
_TRACE_FIELDS = (
    Field("Requests", "requests", ("requests",)),
    Field("Conversations", "conversations", ("conversations",)),
    Field("Prompt tokens", "tokens", ("prompt_tokens",)),
    Field("Output tokens", "tokens", ("output_tokens",)),
    Field("Duration", "s", ("duration_s",)),
    Field("Conversations started", "1/s", ("measured_rate",)),
)
_LENGTH_FIELDS = tuple(
    Field(point, "tokens", (point,)) for point in ("mean", "p50", "p90", "p95", "p99", "max")
)
_SELECTION_FIELDS = (
    Field("Conversations chosen", "conversations", ("selection", "chosen")),
    Field("Out of", "conversations", ("selection", "eligible")),
    Field("Context", "tokens", ("over_context", "limit")),
    Field("Longer prompts", "requests", ("over_context", "requests")),
    Field("Turns without a reply", "", ("unanswered",)),
)
_EXPORT_FIELDS = (
    Field("Records", "records", ("records",)),
    Field("Left out", "conversations", ("left_out",)),
    Field("Size", "bytes", ("bytes",)),
)


def trace_label(name: str) -> str:
    """ "multi_turn" as people read it: "Multi-turn"; the names of other traces keep their words."""
    return name.replace("_", "-" if name in OWN else " ").capitalize()


def ordered(names: Iterable[str]) -> list[str]:
    """This project's traces first, single-turn before multi-turn, then the imported ones by name."""
    return sorted(names, key=lambda name: (OWN.index(name) if name in OWN else len(OWN), name))


def traces(results: Results) -> Section | None:
    """The section on streams, traces and their exports; None where nothing was made."""
    blocks: list[Block] = []
    if results.has("traces/streams_summary.json"):
        found = results.json("traces/streams_summary.json", "traces.streams", "Token streams")
        blocks += _stream_blocks(found)
    if results.has("traces/summary.json"):
        blocks += _trace_blocks(results.json("traces/summary.json"))
    if results.has("traces/exports/index.json"):
        blocks += _export_blocks(results.json("traces/exports/index.json"))
    return Section("traces", "Traces: token streams and requests", tuple(blocks)) if blocks else None


def _stream_blocks(found: JsonResult) -> list[Block]:
    template = str(found.value("template"))
    words = {"tokenizer": "the tokenizer's own chat template", "plain": "the built-in plain template"}
    opening = text(
        "Each conversation is rendered once with {template} and tokenised once. The prompt of a request is a "
        "prefix of its conversation's token stream.",
        template=words.get(template) or Code(template),
    )
    rows = tuple((field.title, found.cell(field)) for field in _STREAM_FIELDS if found.has(*field.keys))
    columns = (*texts("Token streams"), *numbers("Count"))
    table = Table("streams", text("From conversations to tokens."), columns, rows)
    return [opening, *_system_prompt(found), table]


def _system_prompt(found: JsonResult) -> list[Block]:
    if not found.get("default_system_prompt", "text"):
        return []
    prompt = found.value("default_system_prompt")
    treatment = (
        "Here it is left out, because it belongs to the template and not to the conversations"
        if prompt["policy"] == "drop"
        else "Here it stays, so that all these conversations share it"
    )
    body = text(
        "The template puts a system prompt of its own before a conversation that has none: {prompt}. "
        "{treatment} (default_system_prompt: {policy}).",
        prompt=Code(prompt["text"].strip()),
        treatment=treatment,
        policy=str(prompt["policy"]),
    )
    return [Note(body)]


def _trace_blocks(summary: JsonResult) -> list[Block]:
    traces = {
        name: summary.at("traces", name, label=f"{trace_label(name)} trace")
        for name in ordered(summary.value("traces"))
    }
    overview = (
        "The conversations of this project start as a Poisson process, and the table shows the rate that "
        "resulted. Imported traces keep their own arrival times."
    )
    rows = (((trace_label(name),), trace) for name, trace in traces.items())
    lengths = (
        ((f"{trace_label(name)}, {kind}",), trace.at("lengths", f"{kind}_tokens", label=f"length of {kind}s"))
        for name, trace in traces.items()
        for kind in ("prompt", "output")
    )
    selected = {name: trace for name, trace in traces.items() if trace.has("selection")}
    return [
        Heading("Traces", "requests"),
        grid("trace-table", overview, ("Trace",), rows, _TRACE_FIELDS),
        grid("lengths", "Lengths of prompts and outputs.", ("Trace, tokens",), lengths, _LENGTH_FIELDS),
        *([_selection(selected)] if selected else []),
    ]


def _selection(traces: dict[str, JsonResult]) -> Table:
    """Which conversations were chosen, and what the context cannot hold. Imported traces have neither."""
    rows: list[tuple[tuple[str, ...], JsonResult]] = []
    for name, trace in traces.items():
        order, opener = (str(trace.value("selection", key)) for key in ("order", "begins_with"))
        treatment = "dropped" if trace.value("over_context", "policy") == "drop" else "kept"
        rows.append(((trace_label(name), order, opener, treatment), trace))
    caption = (
        "Which conversations were chosen, in which order of the file, and what happened to prompts that are "
        "longer than the model's context."
    )
    labels = ("Trace", "Order", "First message by", "Longer prompts are")
    return grid("selection", caption, labels, rows, _SELECTION_FIELDS)


def _export_blocks(found: JsonResult) -> list[Block]:
    """The files for other tools, the commands that read them, and the limits of each format."""
    exports = []
    readers: dict[str, Any] = {}  # format -> how to read its first file
    for index, entry in enumerate(found.value("exports")):
        trace, format = entry["trace"], entry["format"]
        label = f"{trace_label(trace)} trace as {format}"
        export = found.at("exports", index, id=f"traces.exports.{trace}.{format}", label=label)
        exports.append(((trace_label(trace), Code(format), Code(entry["file"]), entry["unit"]), export))
        readers.setdefault(format, entry["readers"])
    files = (
        "The traces in the formats of other tools. What a format cannot express is left out. Traces of block "
        "hashes have neither text nor output tokens."
    )
    commands = tuple(
        (Code(format), reader["tool"], Code(reader["command"]), reader["checked"])
        for format, of_format in readers.items()
        for reader in of_format
    )
    reading = text(
        "The command that reads each format, for one trace. {index} has the commands for every file.",
        index=Code(found.file),
    )
    columns = texts("Format", "Tool", "Command", "How it was checked")
    notes = tuple((Code(format), " ".join(lines)) for format, lines in found.value("notes").items())
    limits = text("What each format can express, and what it cannot.")
    return [
        Heading("Exports for other tools", "exports"),
        grid("export-files", files, ("Trace", "Format", "File", "Records are"), exports, _EXPORT_FIELDS),
        Table("export-commands", reading, columns, commands, (found.file,)),
        Table("export-notes", limits, texts("Format", "Notes"), notes, (found.file,)),
    ]
