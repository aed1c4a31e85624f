"""The result files that a report uses, checked against their provenance before one number is read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from vllm_lab.common.errors import LabError
from vllm_lab.common.files import read_csv, read_json
from vllm_lab.provenance.documents import SUFFIX, Document, collect
from vllm_lab.provenance.verify import require
from vllm_lab.report.blocks import Cell, Figure, Number, Table, Text, numbers, table

FOLDER = "results"
_NO_KEY = "another version made it; run its rule again"


class Results:
    """Files below results/ that were given to the report, and the documents that cover them.

    Names are relative to results/ ("sharing/multi_turn_stats.json"). Parts ask `has` before they read, so a
    stage that was not run is absent from the report.
    """

    def __init__(self, root: Path, files: Iterable[str]) -> None:
        """Raise LabError, with every finding, unless all `files` (relative to `root`) verify."""
        self.root = root
        paths = sorted({file for file in files if not file.endswith(SUFFIX)})
        if outside := [file for file in paths if not file.startswith(f"{FOLDER}/")]:
            where = f"only files below {FOLDER}/, named from the project's root"
            raise LabError(f"{outside[0]}: the report reads {where}")
        require(root, paths, "no report is written")
        self.documents: dict[str, Document] = collect(root)
        self.files: tuple[str, ...] = tuple(paths)
        self._names = {path.removeprefix(f"{FOLDER}/") for path in paths}

    def has(self, *names: str) -> bool:
        """Whether all of these files were given."""
        return self._names.issuperset(names)

    def names(self, pattern: str) -> list[str]:
        """Names of given files that match a shell pattern, sorted."""
        return sorted(name for name in self._names if fnmatchcase(name, pattern))

    def json(self, name: str, id: str = "", label: str = "") -> "JsonResult":
        """One JSON result; `id` and `label` begin the ids and the labels of its numbers."""
        file, kind = self._given(name), self.document(name).identity["kind"]
        return JsonResult(file, kind, read_json(self.root / file), (), id, label)

    def rows(self, name: str) -> list["CsvRow"]:
        """The rows of a CSV result, in file order; cells are text."""
        file, kind = self._given(name), self.document(name).identity["kind"]
        return [CsvRow(file, kind, row) for row in read_csv(self.root / file)]

    def figure(self, stem: str, caption: str, *more: Text, values: str = "") -> list[Figure]:
        """The figure `stem`.svg and/or `stem`.png; nothing where neither was given.

        `more` continues the caption. `values` says where the values are, for readers who do not see it.
        """
        files = (f"{stem}.{ending}" for ending in ("svg", "png"))
        svg, png = (f"{FOLDER}/{file}" if self.has(file) else None for file in files)
        if svg is None and png is None:
            return []
        id = stem.replace("/figures/", "-").replace("/", "-")
        words = Text((caption, *(part for text in more for part in text.parts)))
        alt = f"{caption} {values or 'The tables of this section hold the values.'}"
        return [Figure(id, svg, png, words, alt)]

    def document(self, name: str) -> Document:
        """The document of the job that made a file."""
        return self.documents[self._given(name)]

    def _given(self, name: str) -> str:
        if name not in self._names:
            raise LabError(f"{FOLDER}/{name}: the report was not given this file; add it to --inputs")
        return f"{FOLDER}/{name}"


class Field(NamedTuple):
    """A number in a JSON result: its title in tables, its unit, and the keys of its place."""

    title: str
    unit: str
    keys: tuple[str | int, ...]


@dataclass(frozen=True)
class JsonResult:
    """A JSON result, or the part of one at `place`; its numbers know their file and key.

    `id` and `label` begin the ids and the labels of its numbers.
    """

    file: str
    kind: str
    body: Any
    place: tuple[str | int, ...] = ()
    id: str = ""
    label: str = ""

    def named(self, id: str, label: str) -> "JsonResult":
        """The same with other beginnings of ids and labels."""
        return replace(self, id=id, label=label)

    def at(self, *keys: str | int, id: str | None = None, label: str = "") -> "JsonResult":
        """The part under a path of keys. The ids of its numbers go on with `id`, or with the keys."""
        ids = ".".join(filter(None, (self.id, _dotted(keys) if id is None else id)))
        labels = ", ".join(filter(None, (self.label, label)))
        return JsonResult(self.file, self.kind, self.value(*keys), (*self.place, *keys), ids, labels)

    def each(self, *keys: str | int, id: str | None = None, label: str = "") -> list["JsonResult"]:
        """The entries of the list under a path of keys, as `at` gives them; none where there is no list.

        `id` and `label` may have fields, for keys of the entry and for its `index`: "{policy}.{index}".
        """
        found = []
        for index, entry in enumerate(self.get(*keys) or ()):
            words = {**entry, "index": index}
            ids = None if id is None else id.format_map(words)
            found.append(self.at(*keys, index, id=ids, label=label.format_map(words)))
        return found

    def value(self, *keys: str | int) -> Any:
        """The value under a path of keys; LabError names file and key when there is none."""
        found = self.body
        for depth, key in enumerate(keys):
            try:
                found = found[key]
            except (KeyError, IndexError, TypeError) as error:
                missing = _dotted((*self.place, *keys[: depth + 1]))
                raise LabError(f"{self.file}: no key {missing}: {_NO_KEY}") from error
        return found

    def get(self, *keys: str | int) -> Any:
        """The value under a path of keys, or None where a key is missing."""
        try:
            return self.value(*keys)
        except LabError:
            return None

    def has(self, *keys: str | int) -> bool:
        """Whether there is a value (not null) under a path of keys."""
        return self.get(*keys) is not None

    def number(
        self,
        unit: str,
        *keys: str | int,
        label: str,
        id: str = "",
        status: str = "",
        decimals: int | None = None,
    ) -> Number:
        """The Number under a path of keys.

        Its id ends with `id`, or with the keys without "metrics". Its status is the file's kind unless
        another one is given.
        """
        id = ".".join(filter(None, (self.id, id or _dotted(key for key in keys if key != "metrics"))))
        label = ": ".join(filter(None, (self.label, label)))
        value, key = self.value(*keys), _dotted((*self.place, *keys))
        return Number(id, value, unit, status or self.kind, self.file, key, label, decimals=decimals)

    def not_run(self, label: str = "", *, id: str = "status", unit: str = "", key: str = "status") -> Number:
        """A Number that was not run, with the document's reason."""
        label = ": ".join(filter(None, (self.label, label)))
        place, reason = _dotted((*self.place, key)), self.value("reason")
        return Number(f"{self.id}.{id}", None, unit, "not_run", self.file, place, label, reason)

    def cell(self, field: Field) -> Cell:
        """The Number of a field: not run where the document did not run, a dash where it has no value."""
        title, unit, keys = field
        label = title if title[1:2].isupper() else title[:1].lower() + title[1:]
        if self.get("status") == "not_run":
            return self.not_run(label, id=str(keys[-1]), unit=unit, key=_dotted(keys))
        if not self.has(*keys):
            return "–"
        return self.number(unit, *keys, label=label, decimals=fine_digits(self.value(*keys), unit))


@dataclass(frozen=True)
class CsvRow:
    """One row of a CSV result; `cells` maps the header to text."""

    file: str
    kind: str
    cells: Mapping[str, str]

    def text(self, column: str) -> str:
        """The cell as text; LabError names file and column when there is no such column."""
        try:
            return self.cells[column]
        except KeyError as error:
            raise LabError(f"{self.file}: no column {column}: {_NO_KEY}") from error

    def float(self, column: str) -> float:
        """The cell as a number."""
        found = self.text(column)
        try:
            return float(found)
        except ValueError as error:
            raise LabError(f"{self.file}: {found!r} in column {column} is not a number") from error

    def number(self, id: str, unit: str, column: str, *, where: tuple[str, ...], label: str) -> Number:
        """The Number in `column`; `where` names the columns that single the row out."""
        key = f"{column} where " + ", ".join(f"{name}={self.text(name)}" for name in where)
        return Number(id, self.float(column), unit, self.kind, self.file, key, label)


def derived(
    id: str, value: float | int | None, unit: str, formula: str, source: Number, *, label: str
) -> Number:
    """A Number that is computed from others; its file is that of `source`, on which it depends most."""
    return Number(id, value, unit, "derived", source.file, formula, label)


def grid(
    id: str,
    caption: str | Text,
    labels: Iterable[str],
    rows: Iterable[tuple[tuple[Cell, ...], JsonResult]],
    fields: Sequence[Field],
) -> Table:
    """A table with one column per field. A row is its labels and the result that holds its numbers."""
    cells = ((*names, *(found.cell(field) for field in fields)) for names, found in rows)
    return table(id, caption, (*labels, *numbers(*(field.title for field in fields))), cells)


def in_order(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """The names in the order of the `known` ones; any others come last, by name."""
    places = {name: place for place, name in enumerate(known)}
    return sorted(names, key=lambda name: (places.get(name, len(places)), name))


def fine_digits(value: float | None, unit: str) -> int | None:
    """Digits after the point for short times and for memory, which the usual digits would round away."""
    if unit == "s" and value is not None and 0 < abs(value) < 1:
        return 4 if abs(value) >= 1e-3 else 6
    return 3 if unit == "GB" else None


def _dotted(keys: Iterable[str | int]) -> str:
    return ".".join(str(key) for key in keys)
