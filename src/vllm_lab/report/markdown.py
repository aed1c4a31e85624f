"""The report as Markdown: the same blocks, without what differs from run to run."""

import posixpath
import re

from vllm_lab.common.display import escape
from vllm_lab.report.blocks import (
    Block,
    Cell,
    Code,
    Figure,
    Heading,
    Inline,
    Note,
    Number,
    Section,
    Table,
    Text,
)
from vllm_lab.report.report import METRICS_PAGE, Report, sources

_MARKER = re.compile(r"^(\d*)([-+=.)])")


def render(report: Report, folder: str = "results/report", *, varying: bool = False) -> str:
    """The report as GitHub-flavoured Markdown; `folder` is where the file will be, for links to the figures.

    `varying`: with the columns that differ from run to run.
    """
    metrics = f"[{METRICS_PAGE}]({posixpath.relpath(METRICS_PAGE, folder)})"
    lines = [
        f"# {escape(report.title)}",
        "",
        f"{metrics} defines every metric: formula, unit and source.",
        "",
    ]
    if report.answers:
        lines += ["## In plain words", ""]
    for answer in report.answers:
        lines += [f"**{escape(answer.question)}**", ""]
        for paragraph in answer.paragraphs:
            lines += [_prose(paragraph), ""]
    for section in report.sections:
        lines += [f"## {escape(section.title)}", ""]
        for block in section.blocks:
            if shown := _block(block, folder, varying):
                lines += [*shown, ""]
        lines += _sources(section, report)
    return "\n".join(lines).rstrip("\n") + "\n"


def _inline(part: Inline) -> str:
    if isinstance(part, Number):
        return escape(part.display)
    if isinstance(part, Code):
        return _code(part.text)
    leading = " " if part[:1].isspace() else ""
    trailing = " " if part[-1:].isspace() and part.strip() else ""
    return f"{leading}{escape(part)}{trailing}"


def _code(words: str) -> str:
    """A code span that its own text cannot leave."""
    line = " ".join(words.split()) or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def _prose(body: Text) -> str:
    """A paragraph on one line that does not begin like a list or an underlined title."""
    line = "".join(_inline(part) for part in body.parts).strip()
    return _MARKER.sub(r"\1\\\2", line)


def _block(block: Block, folder: str, varying: bool) -> list[str]:
    match block:
        case Text():
            return [_prose(block)]
        case Note(body):
            return [f"> {_prose(body)}"]
        case Heading(title=title, level=level):
            return [f"{'#' * level} {escape(title)}"]
        case Table():
            return _table(block, varying)
        case Figure(image=image, caption=caption, alt=alt):
            link = posixpath.relpath(image.png or image.file, folder)
            return [f"![{escape(alt)}]({link})", "", f"*Figure.* {_prose(caption)}"]


def _table(table: Table, varying: bool) -> list[str]:
    """The table; nothing where everything but its first column differs from run to run."""
    shown = [index for index, column in enumerate(table.columns) if varying or not column.varies]
    if len(shown) == 1 < len(table.columns):
        return []
    columns = [table.columns[index] for index in shown]
    lines = [
        f"*Table.* {_prose(table.caption)}",
        "",
        _row([escape(column.title) for column in columns]),
        _row(["---:" if column.numeric else "---" for column in columns]),
    ]
    for row in table.rows:
        cells = [row[index] for index in shown]
        lines.append(_row([_cell(cell) for cell in cells]))
    return lines


def _cell(cell: Cell) -> str:
    """A cell's text. A bar would end the cell even inside a code span, so it is escaped there too."""
    parts = () if cell is None else cell.parts if isinstance(cell, Text) else (cell,)
    shown = (_inline(part) for part in parts)
    return "".join(
        words.replace("|", "\\|") if isinstance(part, Code) else words
        for part, words in zip(parts, shown, strict=True)
    ).strip()


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _sources(section: Section, report: Report) -> list[str]:
    """Where the section's numbers come from: file, first digits of its sha256, rule and kind."""
    files = sources(section.blocks, section.answers)
    if not files:
        return []
    lines = []
    for file in files:
        document = report.jobs.of(file).document
        rule, kind = document.identity["rule"], document.identity["kind"]
        lines.append(f"{_code(file)} (sha256 {document.outputs[file][:12]}, rule {_code(rule)}, {kind})")
    return ["Sources: " + "; ".join(lines) + ".", ""]
