"""What a report is made of. HTML, Markdown and the summary are three renderings of these same blocks."""

import string
from collections.abc import Iterator
from dataclasses import dataclass, field

from vllm_lab.common.display import display

STATUSES = {
    "deterministic": "the same bytes on any machine, from the same inputs and settings",
    "measured": "wall clock or hardware, repeats differ within a stated tolerance",
    "simulated": "replayed against a model of a cache or scheduler, no engine ran; the same bytes anywhere",
    "derived": "computed here from other numbers of this report",
    "not_run": "not run, for the reason given",
}


@dataclass(frozen=True)
class Number:
    """One value and where it comes from.

    `id` is unique in the report (dots between its parts) and the key in summary.json; `unit` is one of
    units.UNITS; `file` is the path, as provenance documents spell it, of the result that holds the value,
    and `key` the place in it (JSON keys or CSV row), or the formula of a derived number.
    """

    id: str
    value: float | int | str | None
    unit: str
    status: str
    file: str
    key: str
    label: str
    reason: str = ""
    decimals: int | None = None

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"{self.id}: status {self.status!r} is none of {', '.join(STATUSES)}")
        if self.status == "not_run" and not self.reason:
            raise ValueError(f"{self.id}: a number that was not run needs its reason")

    @property
    def display(self) -> str:
        """The value as people read it."""
        return "not run" if self.status == "not_run" else display(self.value, self.unit, self.decimals)


@dataclass(frozen=True)
class Code:
    """A name as the machine spells it: a file, a key, an id from the data (hostile text is welcome)."""

    text: str


Inline = str | Number | Code


@dataclass(frozen=True)
class Text:
    """A paragraph. Build it with `text`."""

    parts: tuple[Inline, ...]


def text(template: str, /, **values: Inline) -> Text:
    """A paragraph from a template: text("{saved} of all prompt tokens", saved=number).

    Raises KeyError for a field without a value: a number must not fall out of a sentence silently.
    """
    parts: list[Inline] = []
    for literal, name, _, _ in string.Formatter().parse(template):
        if literal:
            parts.append(literal)
        if name is not None:
            parts.append(values[name])
    return Text(tuple(parts))


@dataclass(frozen=True)
class Note:
    """A paragraph set apart: how a definition matters, what a reader must not conclude."""

    body: Text


@dataclass(frozen=True)
class Heading:
    """A subtitle inside a section."""

    title: str


@dataclass(frozen=True)
class Column:
    """A table's column. `varies`: holds what differs from run to run (times, hosts); shown in HTML only."""

    title: str
    numeric: bool = False
    varies: bool = False


Cell = Inline | Text | None


@dataclass(frozen=True)
class Table:
    """Rows of cells under `columns`; None is an empty cell.

    `files` are the sources of cells that are not Numbers.
    """

    id: str
    caption: Text
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.id}: a row of {len(row)} cells, {len(self.columns)} columns")


@dataclass(frozen=True)
class Image:
    """A figure's files, as provenance documents spell them; at least one is given."""

    svg: str | None
    png: str | None

    @property
    def file(self) -> str:
        """The file that stands for the figure: the vector form where there is one."""
        return self.svg or self.png or ""


@dataclass(frozen=True)
class Figure:
    """An image with its caption; `alt` says in words what it shows, for those who do not see it."""

    id: str
    image: Image
    caption: Text
    alt: str


Block = Text | Note | Heading | Table | Figure


@dataclass(frozen=True)
class Answer:
    """A question somebody has, and its answer in plain words with the numbers in it."""

    question: str
    paragraphs: tuple[Text, ...]


@dataclass(frozen=True)
class Section:
    """One part of the report. Its answers move to the front page; its blocks stand under its title."""

    id: str
    title: str
    blocks: tuple[Block, ...]
    answers: tuple[Answer, ...] = field(default=())


def inlines(section: Section) -> Iterator[Inline]:
    """Every inline part of a section in reading order: answers first, then blocks."""
    for answer in section.answers:
        for paragraph in answer.paragraphs:
            yield from paragraph.parts
    for block in section.blocks:
        yield from block_inlines(block)


def block_inlines(block: Block) -> Iterator[Inline]:
    """Every inline part of one block in reading order."""
    match block:
        case Text(parts):
            yield from parts
        case Note(body):
            yield from body.parts
        case Heading(title):
            yield title
        case Figure(caption=caption):
            yield from caption.parts
        case Table(caption=caption, rows=rows):
            yield from caption.parts
            for row in rows:
                for cell in row:
                    yield from cell.parts if isinstance(cell, Text) else (() if cell is None else (cell,))


def block_files(block: Block) -> tuple[str, ...]:
    """The result files a block draws on, in order of first use, each once."""
    files = [part.file for part in block_inlines(block) if isinstance(part, Number)]
    if isinstance(block, Table):
        files.extend(block.files)
    if isinstance(block, Figure):
        files.append(block.image.file)
    return tuple(dict.fromkeys(files))
