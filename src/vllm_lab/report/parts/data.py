"""The conversations read and every rule that mended or dropped one: from data/rejects.json."""

from vllm_lab.report.blocks import Block, Cell, Code, Column, Inline, Note, Section, Table, Text, text
from vllm_lab.report.results import JsonResult, Results

_FILE = "data/rejects.json"


def build(results: Results) -> Section | None:
    """The data section; None where no conversations were read."""
    if not results.has(_FILE):
        return None
    found = results.json(_FILE)
    rules = found.value("rules")
    applied = [name for name in sorted(rules) if rules[name]["count"]]
    silent = [name for name in sorted(rules) if not rules[name]["count"]]
    blocks: list[Block] = [_opening(found)]
    if found.value("stopped_after_max_records"):
        blocks.append(Note(text("Reading stopped at the configured number of records; the file holds more.")))
    blocks.append(_rules_table(found, applied))
    if silent:
        blocks.append(text("Rules that found nothing: {names}.", names=Code(", ".join(silent))))
    blocks += [_openers(found), _roles_table(found)]
    return Section("data", "Conversations", tuple(blocks))


def _opening(found: JsonResult) -> Text:
    return text(
        "{records} records were read from {size} of ShareGPT and {dropped} dropped; {kept} conversations "
        "with {messages} messages are kept. Whatever is dropped or mended is counted below by rule, with "
        "the first example.",
        records=found.number("data.records_read", "records", "records_read", label="Records read"),
        size=found.number("data.input_bytes", "bytes", "input_bytes", label="Size of the raw file"),
        dropped=found.number("data.records_dropped", "records", "records_dropped", label="Records dropped"),
        kept=found.number(
            "data.conversations_kept", "conversations", "conversations_kept", label="Conversations kept"
        ),
        messages=found.number("data.messages_kept", "messages", "messages_kept", label="Messages kept"),
    )


def _rules_table(found: JsonResult, names: list[str]) -> Table:
    rows = tuple(_rule_row(found, name) for name in names)
    columns = (
        Column("Rule"),
        Column("Action"),
        Column("What it does"),
        Column("Count", numeric=True),
        Column("First example"),
    )
    caption = text("Rules that found something in the raw file.")
    return Table("rejects", caption, columns, rows, (found.file,))


def _rule_row(found: JsonResult, name: str) -> tuple[Cell, ...]:
    rule = found.value("rules", name)
    count = found.number(
        f"data.rejects.{name}", "", "rules", name, "count", label=f"Times that rule {name} applied"
    )
    return (Code(name), str(rule["action"]), str(rule["statement"]), count, _example(rule["example"]))


def _example(example: dict | None) -> Text | None:
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
        number = found.number(
            f"data.first_roles.{role}", "conversations", "first_roles", role,
            label=f"Conversations that begin with a message of role {role}",
        )  # fmt: skip
        parts += [", " if parts else "Conversations begin with a message of role ", Code(role), ": ", number]
    return Text((*parts, "."))


def _roles_table(found: JsonResult) -> Table:
    counts = found.value("roles")
    rows = tuple(
        (
            Code(role),
            found.number(f"data.roles.{role}", "messages", "roles", role, label=f"Messages of {role}"),
        )
        for role in sorted(counts, key=lambda role: (-counts[role], role))
    )
    columns = (Column("Role in the file"), Column("Messages", numeric=True))
    return Table("roles", text("Who speaks, as the file spells it."), columns, rows)
