"""The blocks of a report. HTML, Markdown and the summary are three renderings of these same blocks."""

import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from vllm_lab.common.display import UNITS, display

STATUSES = {
    "deterministic": "the same inputs and settings give the same bytes on any machine",
    "measured": "a clock or the hardware gave it, and repeats differ within a stated tolerance",
    "simulated": "a model of a cache or a scheduler gave it, no engine ran, and any machine gives the same",
    "derived": "computed here from other numbers of this report",
    "not_run": "not run, for the stated reason",
}


@dataclass(frozen=True)
class Number:
    """One value and where it comes from.

    `id` is unique in the report (dots between its parts) and the key in summary.json. `unit` is one of
    display.UNITS; another unit, from a result of another version, is shown as it is. `file` is the path of
    the result that holds the value, as provenance documents spell it. `key` is the place in that file (JSON
    keys or a CSV row), or the formula of a derived number. Raises ValueError for an unknown status, and for
    a number that was not run and gives no reason.
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
            raise ValueError(f"{self.id}: the status {self.status!r} is not one of {', '.join(STATUSES)}")
        if self.status == "not_run" and not self.reason:
            raise ValueError(f"{self.id}: a number that was not run needs its reason")

    @property
    def display(self) -> str:
        """The value as people read it."""
        if self.status == "not_run":
            return "not run"
        if self.unit not in UNITS:
            return f"{display(self.value, '', self.decimals)} {self.unit}"
        return display(self.value, self.unit, self.decimals)


@dataclass(frozen=True)
class Code:
    """A name as the machine spells it: a file, a key, an id from the data. Any text is safe here."""

    text: str


Inline = str | Number | Code


@dataclass(frozen=True)
class Text:
    """A paragraph, or a piece of one. Build it with `text`."""

    parts: tuple[Inline, ...]


def text(template: str, /, **values: "Inline | Text") -> Text:
    """A paragraph from a template: text("{saved} of all prompt tokens", saved=number).

    Raises KeyError for a field without a value, so that no number falls out of a sentence in silence.
    """
    parts: list[Inline] = []
    for literal, name, _, _ in string.Formatter().parse(template):
        if literal:
            parts.append(literal)
        if name is not None:
            parts.extend(parts_of(values[name]))
    return Text(tuple(parts))


def joined(separator: str, pieces: Iterable["Inline | Text"]) -> Text:
    """The pieces with the separator between them."""
    parts = [part for piece in pieces for part in (separator, *parts_of(piece))]
    return Text(tuple(parts[1:]))


def parts_of(piece: "Inline | Text | None") -> tuple[Inline, ...]:
    """The inline parts of a piece of text or of a cell."""
    return piece.parts if isinstance(piece, Text) else () if piece is None else (piece,)


@dataclass(frozen=True)
class Note:
    """A paragraph set apart: why a definition matters, or what a reader must not conclude."""

    body: Text


@dataclass(frozen=True)
class Heading:
    """A subtitle inside a section, of level 3 or 4. One with an `id` is listed in the contents."""

    title: str
    id: str = ""
    level: int = 3


@dataclass(frozen=True)
class Column:
    """A table's column. One that `varies` from run to run (times, hosts) is shown in HTML only."""

    title: str
    numeric: bool = False
    varies: bool = False


def varying(*titles: str) -> tuple[Column, ...]:
    """Columns of words that differ from run to run."""
    return tuple(Column(title, varies=True) for title in titles)


def numbers(*titles: str, varies: bool = False) -> tuple[Column, ...]:
    """Columns of numbers under these titles."""
    return tuple(Column(title, numeric=True, varies=varies) for title in titles)


Cell = Inline | Text | None


@dataclass(frozen=True)
class Table:
    """Rows of cells under `columns`; None is an empty cell.

    `files` are the sources of the cells that are not Numbers. Raises ValueError for a row of another length.
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


def table(
    id: str, caption: str | Text, columns: Iterable[str | Column], rows: Iterable[Iterable[Cell]], *files: str
) -> Table:
    """A Table; a column of words may be given by its title alone."""
    caption = Text((caption,)) if isinstance(caption, str) else caption
    heads = (Column(column) if isinstance(column, str) else column for column in columns)
    return Table(id, caption, tuple(heads), tuple(map(tuple, rows)), files)


@dataclass(frozen=True)
class Figure:
    """An image with its caption; `alt` says what it shows, for readers who do not see it.

    `svg` and `png` are its files, as provenance documents spell them; at least one is given.
    """

    id: str
    svg: str | None
    png: str | None
    caption: Text
    alt: str

    @property
    def file(self) -> str:
        """The vector form where there is one, else the bitmap."""
        return self.svg or self.png or ""


Block = Text | Note | Heading | Table | Figure


@dataclass(frozen=True)
class Answer:
    """A question somebody has, and its answer in plain words with the numbers in it."""

    question: str
    paragraphs: tuple[Text, ...]


@dataclass(frozen=True)
class Section:
    """One stage's section. Its answers move to the front of the page; its blocks follow its title."""

    id: str
    title: str
    blocks: tuple[Block, ...]
    answers: tuple[Answer, ...] = ()

    @property
    def shown(self) -> tuple[Block, ...]:
        """All that it shows in reading order: the paragraphs of its answers, then its blocks."""
        return (*(paragraph for answer in self.answers for paragraph in answer.paragraphs), *self.blocks)


def section(id: str, title: str, blocks: Iterable[Block], answers: Iterable[Answer] = ()) -> Section | None:
    """A Section; None where there are no blocks, as for a stage without results."""
    blocks = tuple(blocks)
    return Section(id, title, blocks, tuple(answers)) if blocks else None


def numbers_of(shown: Iterable[Block]) -> Iterator[Number]:
    """Every Number of the blocks in reading order."""
    for block in shown:
        cells: tuple[Cell, ...] = ()
        match block:
            case Text():
                cells = (block,)
            case Note(body):
                cells = (body,)
            case Figure():
                cells = (block.caption,)
            case Table():
                cells = (block.caption, *chain.from_iterable(block.rows))
        yield from (part for cell in cells for part in parts_of(cell) if isinstance(part, Number))


def files_of(shown: Iterable[Block]) -> list[str]:
    """The result files that the blocks use, sorted."""
    blocks = tuple(shown)
    files = {number.file for number in numbers_of(blocks)}
    files.update(file for block in blocks if isinstance(block, Table) for file in block.files)
    files.update(block.file for block in blocks if isinstance(block, Figure))
    return sorted(files)
