"""Token streams and traces: from traces/streams_summary.json, traces/summary.json, "
"traces/exports/index.json."""

from collections.abc import Iterable
from typing import Any

from vllm_lab.report.blocks import Block, Code, Heading, Note, Section, Table, numbers, text, texts
from vllm_lab.report.results import Field, JsonResult, Results, grid

OWN = ("single_turn", "multi_turn")
_STREAMS, _TRACES, _EXPORTS = (
    "traces/streams_summary.json",
    "traces/summary.json",
    "traces/exports/index.json",
)
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
    if name in OWN:
        return name.replace("_", "-").capitalize()
    return name.replace("_", " ").capitalize()


def ordered(names: Iterable[str]) -> list[str]:
    """This project's traces first, single-turn before multi-turn, then the imported ones by name."""
    return sorted(names, key=lambda name: (OWN.index(name) if name in OWN else len(OWN), name))


def build(results: Results) -> Section | None:
    """The section on streams, traces and their exports; None where nothing was made."""
    blocks: list[Block] = []
    if results.has(_STREAMS):
        blocks += _stream_blocks(results.json(_STREAMS, "traces.streams", "Token streams"))
    if results.has(_TRACES):
        blocks += _trace_blocks(results.json(_TRACES))
    if results.has(_EXPORTS):
        blocks += _export_blocks(results.json(_EXPORTS))
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
    rows = (
        (
            (
                trace_label(name),
                str(trace.value("selection", "order")),
                str(trace.value("selection", "begins_with")),
                "dropped" if trace.value("over_context", "policy") == "drop" else "kept",
            ),
            trace,
        )
        for name, trace in traces.items()
    )
    caption = (
        "Which conversations were chosen, in which order of the file, and what happened to prompts that are "
        "longer than the model's context."
    )
    labels = ("Trace", "Order", "First message by", "Longer prompts are")
    return grid("selection", caption, labels, rows, _SELECTION_FIELDS)


def _export_blocks(found: JsonResult) -> list[Block]:
    """The files for other tools, the commands that read them, and the limits of each format."""
    return [
        Heading("Exports for other tools", "exports"),
        _export_table(found),
        _command_table(found),
        _notes_table(found),
    ]


def _export_table(found: JsonResult) -> Table:
    rows = []
    for index, entry in enumerate(found.value("exports")):
        trace, format = entry["trace"], entry["format"]
        label = f"{trace_label(trace)} trace as {format}"
        export = found.at("exports", index, id=f"traces.exports.{trace}.{format}", label=label)
        rows.append(((trace_label(trace), Code(format), Code(entry["file"]), entry["unit"]), export))
    caption = (
        "The traces in the formats of other tools. What a format cannot express is left out. Traces of block "
        "hashes have neither text nor output tokens."
    )
    return grid("export-files", caption, ("Trace", "Format", "File", "Records are"), rows, _EXPORT_FIELDS)


def _command_table(found: JsonResult) -> Table:
    """The commands for the first file of each format."""
    first: dict[str, Any] = {}
    for entry in found.value("exports"):
        first.setdefault(entry["format"], entry)
    rows = tuple(
        (Code(format), reader["tool"], Code(reader["command"]), reader["checked"])
        for format, entry in first.items()
        for reader in entry["readers"]
    )
    columns = texts("Format", "Tool", "Command", "How it was checked")
    caption = text(
        "The command that reads each format, for one trace. {index} has the commands for every file.",
        index=Code(found.file),
    )
    return Table("export-commands", caption, columns, rows, (found.file,))


def _notes_table(found: JsonResult) -> Table:
    notes = found.value("notes")
    rows = tuple((Code(entry), " ".join(notes[entry])) for entry in notes)
    caption = text("What each format can express, and what it cannot.")
    return Table("export-notes", caption, texts("Format", "Notes"), rows, (found.file,))
