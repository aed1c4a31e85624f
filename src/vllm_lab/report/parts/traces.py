"""Token streams, traces and exports: from streams_summary.json, summary.json and exports/index.json."""

from collections.abc import Iterable
from typing import Any

from vllm_lab.report.blocks import Block, Code, Heading, Note, Section, numbers, section, table, text
from vllm_lab.report.results import Field, JsonResult, Results, grid, in_order

OWN = ("single_turn", "multi_turn")
_STREAMS = (
    Field("Conversations rendered", "conversations", ("conversations",)),
    Field("Token streams", "streams", ("streams",)),
    Field("Streams stored whole, because the template rewrites history", "streams", ("explicit_streams",)),
    Field("Tokens", "tokens", ("tokens",)),
    Field("Conversations with the text of a special token", "conversations", ("special_text_conversations",)),
    Field("Conversations that the template refused", "conversations", ("template_refused", "count")),
    Field("User turns without a reply", "", ("unanswered_turns",)),
)
_TRACES = (
    Field("Requests", "requests", ("requests",)),
    Field("Conversations", "conversations", ("conversations",)),
    Field("Prompt tokens", "tokens", ("prompt_tokens",)),
    Field("Output tokens", "tokens", ("output_tokens",)),
    Field("Duration", "s", ("duration_s",)),
    Field("Conversations started", "1/s", ("measured_rate",)),
)
_LENGTHS = tuple(Field(point, "tokens", (point,)) for point in ("mean", "p50", "p90", "p95", "p99", "max"))
_CHOSEN = (
    Field("Conversations chosen", "conversations", ("selection", "chosen")),
    Field("Out of", "conversations", ("selection", "eligible")),
    Field("Context", "tokens", ("over_context", "limit")),
    Field("Longer prompts", "requests", ("over_context", "requests")),
    Field("Turns without a reply", "", ("unanswered",)),
)
_EXPORTS = (
    Field("Records", "records", ("records",)),
    Field("Left out", "conversations", ("left_out",)),
    Field("Size", "bytes", ("bytes",)),
)


def trace_label(name: str) -> str:
    """ "multi_turn" as people read it: "Multi-turn"; the names of other traces keep their words."""
    return name.replace("_", "-" if name in OWN else " ").capitalize()


def ordered(names: Iterable[str]) -> list[str]:
    """This project's traces first, single-turn before multi-turn, then the imported ones by name."""
    return in_order(names, OWN)


def build(results: Results) -> Section | None:
    """The section; None where no trace and no stream was made."""
    shown: list[Block] = []
    if results.has("traces/streams_summary.json"):
        found = results.json("traces/streams_summary.json", "traces.streams", "Token streams")
        shown += _stream_blocks(found)
    if results.has("traces/summary.json"):
        shown += _trace_blocks(results.json("traces/summary.json"))
    if results.has("traces/exports/index.json"):
        shown += _export_blocks(results.json("traces/exports/index.json"))
    return section("traces", "Traces: token streams and requests", shown)


def _stream_blocks(found: JsonResult) -> list[Block]:
    template = found.value("template")
    words = {"tokenizer": "the tokenizer's own chat template", "plain": "the built-in plain template"}
    opening = text(
        "Each conversation is rendered once with {template} and tokenised once. The prompt of a request is a "
        "prefix of its conversation's token stream.",
        template=words.get(template) or Code(template),
    )
    rows = ((field.title, found.cell(field)) for field in _STREAMS if found.has(*field.keys))
    columns = ("Token streams", *numbers("Count"))
    counts = table("streams", "From conversations to tokens.", columns, rows)
    return [opening, *_system_prompt(found), counts]


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
        policy=prompt["policy"],
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
        grid("trace-table", overview, ("Trace",), rows, _TRACES),
        grid("lengths", "Lengths of prompts and outputs.", ("Trace, tokens",), lengths, _LENGTHS),
        *([_selection(selected)] if selected else []),
    ]


def _selection(traces: dict[str, JsonResult]) -> Block:
    """Which conversations were chosen, and what the context cannot hold. Imported traces have neither."""
    rows = []
    for name, trace in traces.items():
        order, opener = (trace.value("selection", key) for key in ("order", "begins_with"))
        treatment = "dropped" if trace.value("over_context", "policy") == "drop" else "kept"
        rows.append(((trace_label(name), order, opener, treatment), trace))
    caption = (
        "Which conversations were chosen, in which order of the file, and what happened to prompts that are "
        "longer than the model's context."
    )
    labels = ("Trace", "Order", "First message by", "Longer prompts are")
    return grid("selection", caption, labels, rows, _CHOSEN)


def _export_blocks(found: JsonResult) -> list[Block]:
    """The files for other tools, the commands that read them, and the limits of each format."""
    exports = []
    readers: dict[str, Any] = {}  # format -> how to read its first file
    for export in found.each("exports"):
        trace, format, file = (export.value(key) for key in ("trace", "format", "file"))
        named = export.named(f"traces.exports.{trace}.{format}", f"{trace_label(trace)} trace as {format}")
        exports.append(((trace_label(trace), Code(format), Code(file), export.value("unit")), named))
        readers.setdefault(format, export.value("readers"))
    files = (
        "The traces in the formats of other tools. What a format cannot express is left out. Traces of block "
        "hashes have neither text nor output tokens."
    )
    commands = (
        (Code(format), reader["tool"], Code(reader["command"]), reader["checked"])
        for format, of_format in readers.items()
        for reader in of_format
    )
    reading = text(
        "The command that reads each format, for one trace. {index} has the commands for every file.",
        index=Code(found.file),
    )
    columns = ("Format", "Tool", "Command", "How it was checked")
    notes = ((Code(format), " ".join(lines)) for format, lines in found.value("notes").items())
    limits = "What each format can express, and what it cannot."
    return [
        Heading("Exports for other tools", "exports"),
        grid("export-files", files, ("Trace", "Format", "File", "Records are"), exports, _EXPORTS),
        table("export-commands", reading, columns, commands, found.file),
        table("export-notes", limits, ("Format", "Notes"), notes, found.file),
    ]
