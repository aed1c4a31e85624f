"""Token streams and traces: from tokens/summary.json, traces/summary.json and exports/index.json."""

from typing import Any

from vllm_lab.report.blocks import Block, Cell, Code, Column, Heading, Note, Section, Table, text
from vllm_lab.report.results import JsonResult, Results
from vllm_lab.report.trace_names import ordered, trace_label

_TOKENS, _TRACES, _EXPORTS = "traces/streams_summary.json", "traces/summary.json", "traces/exports/index.json"
_TOKEN_ROWS = (
    ("Conversations rendered", "conversations", ("conversations",)),
    ("Token streams", "streams", ("streams",)),
    ("Streams kept whole, where the template rewrites history", "streams", ("explicit_streams",)),
    ("Tokens", "tokens", ("tokens",)),
    ("Conversations with special-token text, kept as text", "conversations", ("special_text_conversations",)),
    ("Conversations that the template refused", "conversations", ("template_refused", "count")),
    ("User turns without a reply", "", ("unanswered_turns",)),
)
_LENGTHS = ("mean", "p50", "p90", "p95", "p99", "max")


def build(results: Results) -> Section | None:
    """The section on tokens and traces; None where neither was made."""
    blocks: list[Block] = []
    if results.has(_TOKENS):
        blocks += _token_blocks(results.json(_TOKENS))
    if results.has(_TRACES):
        blocks += _trace_blocks(results.json(_TRACES))
    if results.has(_EXPORTS):
        blocks += _export_blocks(results.json(_EXPORTS))
    return Section("traces", "Token streams and traces", tuple(blocks)) if blocks else None


def _token_blocks(found: JsonResult) -> list[Block]:
    template = str(found.value("template"))
    words = {"tokenizer": "the tokenizer's own chat template", "plain": "the built-in plain template"}
    opening = text(
        "Each conversation is rendered once with {template} and cut into tokens once; a request's prompt is "
        "a beginning of its conversation's token stream.",
        template=words.get(template) or Code(template),
    )
    rows = tuple(
        (title, found.number(f"tokens.{'.'.join(keys)}", unit, *keys, label=title))
        for title, unit, keys in _TOKEN_ROWS
        if found.has(*keys)
    )
    columns = (Column("Token streams"), Column("Count", numeric=True))
    table = Table("tokens", text("From conversations to tokens."), columns, rows)
    return [opening, *_system_prompt(found), table]


def _system_prompt(found: JsonResult) -> list[Block]:
    if not found.has("default_system_prompt", "text"):
        return []
    prompt = found.value("default_system_prompt")
    if not prompt["text"]:
        return []
    act = (
        "left out here, since it is the template's and not the conversations'"
        if prompt["policy"] == "drop"
        else "kept here, so that every such conversation shares it"
    )
    body = text(
        "The template puts a system prompt of its own before a conversation that has none: {prompt}. It is "
        "{act} (default_system_prompt: {policy}).",
        prompt=Code(prompt["text"].strip()),
        act=act,
        policy=str(prompt["policy"]),
    )
    return [Note(body)]


def _trace_blocks(found: JsonResult) -> list[Block]:
    names = ordered(found.value("traces"))
    return [
        Heading("Traces"),
        _overview(found, names),
        _length_table(found, names),
        *_selection_table(found, names),
    ]


def _number(found: JsonResult, name: str, title: str, unit: str, *keys: str) -> Cell:
    if not found.has("traces", name, *keys):
        return None
    label = f"{trace_label(name)} trace: {title[0].lower() + title[1:]}"
    return found.number(f"traces.{name}.{'.'.join(keys)}", unit, "traces", name, *keys, label=label)


def _overview(found: JsonResult, names: list[str]) -> Table:
    columns = (
        ("Requests", "requests", ("requests",)),
        ("Conversations", "conversations", ("conversations",)),
        ("Prompt tokens", "tokens", ("prompt_tokens",)),
        ("Output tokens", "tokens", ("output_tokens",)),
        ("Duration", "s", ("duration_s",)),
        ("Conversations started", "1/s", ("measured_rate",)),
    )
    rows = tuple(
        (
            trace_label(name),
            *(_number(found, name, title, unit, *keys) for title, unit, keys in columns),
        )
        for name in names
    )
    head = (Column("Trace"), *(Column(title, numeric=True) for title, _, _ in columns))
    caption = text(
        "Our conversations start as a Poisson process; the rate shown is the one that came of it. Imported "
        "traces keep their own arrivals."
    )
    return Table("traces", caption, head, rows)


def _length_table(found: JsonResult, names: list[str]) -> Table:
    rows = tuple(
        (
            f"{trace_label(name)}, {kind}",
            *(
                _number(found, name, f"{kind} length, {point}", "tokens", "lengths", f"{kind}_tokens", point)
                for point in _LENGTHS
            ),
        )
        for name in names
        for kind in ("prompt", "output")
    )
    head = (Column("Trace, length in tokens"), *(Column(point, numeric=True) for point in _LENGTHS))
    return Table("lengths", text("Lengths of prompts and outputs."), head, rows)


def _selection_table(found: JsonResult, names: list[str]) -> list[Block]:
    """Which conversations were taken, and what the context cannot hold; imported traces have neither."""
    chosen = [name for name in names if found.has("traces", name, "selection")]
    if not chosen:
        return []
    columns = (
        ("Conversations chosen", "conversations", ("selection", "chosen")),
        ("Of eligible ones", "conversations", ("selection", "eligible")),
        ("Context", "tokens", ("over_context", "limit")),
        ("Prompts beyond it", "requests", ("over_context", "requests")),
        ("Turns without a reply", "", ("unanswered",)),
    )
    rows = tuple(
        (
            trace_label(name),
            str(found.value("traces", name, "selection", "order")),
            str(found.value("traces", name, "selection", "begins_with")),
            *(_number(found, name, title, unit, *keys) for title, unit, keys in columns),
            "dropped" if found.value("traces", name, "over_context", "policy") == "drop" else "kept",
        )
        for name in chosen
    )
    numeric = (Column(title, numeric=True) for title, _, _ in columns)
    head = (Column("Trace"), Column("Order"), Column("Begin with"), *numeric, Column("These are"))
    caption = text(
        "Which conversations were taken, in which order of the file, and what became of prompts that are "
        "longer than the model's context."
    )
    return [Table("selection", caption, head, rows)]


def _export_blocks(found: JsonResult) -> list[Block]:
    """The files for other tools, the commands that read them, and what to look out for."""
    return [Heading("For other tools"), _export_table(found), _command_table(found), _notes_table(found)]


def _export_table(found: JsonResult) -> Table:
    rows = tuple(
        (
            trace_label(entry["trace"]),
            Code(entry["format"]),
            Code(entry["file"]),
            *(
                found.number(
                    f"exports.{entry['trace']}.{entry['format']}.{key}",
                    unit,
                    "exports",
                    index,
                    key,
                    label=f"{trace_label(entry['trace'])} trace as {entry['format']}: {words}",
                )
                for key, unit, words in (
                    ("records", "records", entry["unit"]),
                    ("left_out", "conversations", "left out"),
                    ("bytes", "bytes", "size"),
                )
            ),
            entry["unit"],
        )
        for index, entry in enumerate(found.value("exports"))
    )
    columns = (
        Column("Trace"),
        Column("Format"),
        Column("File"),
        Column("Records", numeric=True),
        Column("Left out", numeric=True),
        Column("Size", numeric=True),
        Column("A record is one of the"),
    )
    caption = text(
        "The traces as other tools read them. What a format cannot tell is left out; traces of block hashes "
        "have neither text nor output tokens."
    )
    return Table("exports", caption, columns, rows)


def _command_table(found: JsonResult) -> Table:
    """The commands of the first file of each format."""
    first: dict[str, Any] = {}
    for entry in found.value("exports"):
        first.setdefault(entry["format"], entry)
    rows = tuple(
        (Code(format), reader["tool"], Code(reader["command"]), reader["checked"])
        for format, entry in first.items()
        for reader in entry["readers"]
    )
    columns = (Column("Format"), Column("Tool"), Column("Command"), Column("How it is known to work"))
    caption = text(
        "The command that reads each format, here for one trace; {index} has those of every file.",
        index=Code(found.file),
    )
    return Table("export-commands", caption, columns, rows, (found.file,))


def _notes_table(found: JsonResult) -> Table:
    notes = found.value("notes")
    rows = tuple((Code(entry), " ".join(notes[entry])) for entry in notes)
    columns = (Column("Format"), Column("What to look out for"))
    return Table("export-notes", text("What each format says and what not."), columns, rows, (found.file,))
