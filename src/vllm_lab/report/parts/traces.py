"""Token streams and traces: from traces/streams_summary.json, traces/summary.json, "
"traces/exports/index.json."""

from collections.abc import Iterable
from typing import Any

from vllm_lab.report.blocks import (
    Block,
    Cell,
    Code,
    Heading,
    Note,
    Section,
    Table,
    number_columns,
    text,
    text_columns,
)
from vllm_lab.report.results import JsonResult, Results

OWN = ("single_turn", "multi_turn")
_STREAMS, _TRACES, _EXPORTS = (
    "traces/streams_summary.json",
    "traces/summary.json",
    "traces/exports/index.json",
)
_STREAM_ROWS = (
    ("Conversations rendered", "conversations", ("conversations",)),
    ("Token streams", "streams", ("streams",)),
    ("Streams stored whole, because the template rewrites history", "streams", ("explicit_streams",)),
    ("Tokens", "tokens", ("tokens",)),
    ("Conversations whose text looks like a special token", "conversations", ("special_text_conversations",)),
    ("Conversations that the template refused", "conversations", ("template_refused", "count")),
    ("User turns without a reply", "", ("unanswered_turns",)),
)
_POINTS = ("mean", "p50", "p90", "p95", "p99", "max")


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
    rows = tuple(
        (title, found.number(unit, *keys, label=title[0].lower() + title[1:]))
        for title, unit, keys in _STREAM_ROWS
        if found.has(*keys)
    )
    columns = (*text_columns("Token streams"), *number_columns("Count"))
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
        name: summary.at("traces", name, id=f"traces.{name}", label=f"{trace_label(name)} trace")
        for name in ordered(summary.value("traces"))
    }
    return [Heading("Traces", "requests"), _overview(traces), _length_table(traces), *_selection(traces)]


def _cell(trace: JsonResult, title: str, unit: str, *keys: str) -> Cell:
    return trace.number(unit, *keys, label=title[0].lower() + title[1:]) if trace.has(*keys) else None


def _overview(traces: dict[str, JsonResult]) -> Table:
    columns = {
        "requests": ("Requests", "requests"),
        "conversations": ("Conversations", "conversations"),
        "prompt_tokens": ("Prompt tokens", "tokens"),
        "output_tokens": ("Output tokens", "tokens"),
        "duration_s": ("Duration", "s"),
        "measured_rate": ("Conversations started", "1/s"),
    }
    rows = tuple(
        (trace_label(name), *(_cell(trace, title, unit, key) for key, (title, unit) in columns.items()))
        for name, trace in traces.items()
    )
    head = (*text_columns("Trace"), *number_columns(*(title for title, _ in columns.values())))
    caption = text(
        "The conversations of this project start as a Poisson process, and the table shows the rate that "
        "resulted. Imported traces keep their own arrival times."
    )
    return Table("traces", caption, head, rows)


def _length_table(traces: dict[str, JsonResult]) -> Table:
    rows = tuple(
        (
            f"{trace_label(name)}, {kind}",
            *(
                _cell(trace, f"{kind} length, {point}", "tokens", "lengths", f"{kind}_tokens", point)
                for point in _POINTS
            ),
        )
        for name, trace in traces.items()
        for kind in ("prompt", "output")
    )
    head = (*text_columns("Trace, length in tokens"), *number_columns(*_POINTS))
    return Table("lengths", text("Lengths of prompts and outputs."), head, rows)


def _selection(traces: dict[str, JsonResult]) -> list[Block]:
    """Which conversations were chosen, and what the context cannot hold. Imported traces have neither."""
    chosen = {name: trace for name, trace in traces.items() if trace.has("selection")}
    if not chosen:
        return []
    columns = (
        ("Conversations chosen", "conversations", ("selection", "chosen")),
        ("Out of", "conversations", ("selection", "eligible")),
        ("Context", "tokens", ("over_context", "limit")),
        ("Longer prompts", "requests", ("over_context", "requests")),
        ("Turns without a reply", "", ("unanswered",)),
    )
    rows = tuple(
        (
            trace_label(name),
            str(trace.value("selection", "order")),
            str(trace.value("selection", "begins_with")),
            *(_cell(trace, title, unit, *keys) for title, unit, keys in columns),
            "dropped" if trace.value("over_context", "policy") == "drop" else "kept",
        )
        for name, trace in chosen.items()
    )
    head = (
        *text_columns("Trace", "Order", "First message by"),
        *number_columns(*(title for title, _, _ in columns)),
        *text_columns("Longer prompts are"),
    )
    caption = text(
        "Which conversations were chosen, in which order of the file, and what happened to prompts that are "
        "longer than the model's context."
    )
    return [Table("selection", caption, head, rows)]


def _export_blocks(found: JsonResult) -> list[Block]:
    """The files for other tools, the commands that read them, and the limits of each format."""
    return [
        Heading("Exports for other tools", "exports"),
        _export_table(found),
        _command_table(found),
        _notes_table(found),
    ]


def _export_table(found: JsonResult) -> Table:
    rows = tuple(
        _export_row(
            entry,
            found.at(
                *("exports", index),
                id=f"traces.exports.{entry['trace']}.{entry['format']}",
                label=f"{trace_label(entry['trace'])} trace as {entry['format']}",
            ),
        )
        for index, entry in enumerate(found.value("exports"))
    )
    columns = (
        *text_columns("Trace", "Format", "File"),
        *number_columns("Records", "Left out", "Size"),
        *text_columns("A record is one of the"),
    )
    caption = text(
        "The traces in the formats of other tools. What a format cannot express is left out. Traces of block "
        "hashes have neither text nor output tokens."
    )
    return Table("exports", caption, columns, rows)


def _export_row(entry: dict[str, Any], export: JsonResult) -> tuple[Cell, ...]:
    return (
        trace_label(entry["trace"]),
        Code(entry["format"]),
        Code(entry["file"]),
        export.number("records", "records", label=entry["unit"]),
        export.number("conversations", "left_out", label="left out"),
        export.number("bytes", "bytes", label="size"),
        entry["unit"],
    )


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
    columns = text_columns("Format", "Tool", "Command", "How it was checked")
    caption = text(
        "The command that reads each format, for one trace. {index} has the commands for every file.",
        index=Code(found.file),
    )
    return Table("export-commands", caption, columns, rows, (found.file,))


def _notes_table(found: JsonResult) -> Table:
    notes = found.value("notes")
    rows = tuple((Code(entry), " ".join(notes[entry])) for entry in notes)
    caption = text("What each format can express, and what it cannot.")
    return Table("export-notes", caption, text_columns("Format", "Notes"), rows, (found.file,))
