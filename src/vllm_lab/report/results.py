"""The result files that a report draws on, checked against their provenance before one number is read."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from vllm_lab.common.errors import LabError
from vllm_lab.common.files import read_json
from vllm_lab.provenance.documents import SUFFIX, Document, collect
from vllm_lab.provenance.verify import require
from vllm_lab.report.blocks import Image, Number

FOLDER = "results"


class Results:
    """Files below results/ that were given to the report, and the documents that cover them.

    Names are relative to results/ ("sharing/multi_turn_stats.json"). Sections ask `has` before they read, so
    a part that was not run is absent from the report.
    """

    def __init__(self, root: Path, files: Iterable[str]) -> None:
        """Raise LabError, with every finding, unless all `files` (relative to `root`) verify."""
        self.root = root
        paths = sorted({file for file in files if not file.endswith(SUFFIX)})
        _refuse_unverified(root, paths)
        self.documents: dict[str, Document] = collect(root, FOLDER)
        self.files: tuple[str, ...] = tuple(paths)
        self._names = {path.removeprefix(f"{FOLDER}/") for path in paths}

    def has(self, *names: str) -> bool:
        """Whether all of these files were given."""
        return self._names.issuperset(names)

    def names(self, pattern: str) -> list[str]:
        """Names of given files that match a shell pattern, sorted."""
        return sorted(name for name in self._names if fnmatchcase(name, pattern))

    def json(self, name: str) -> "JsonResult":
        """One JSON result."""
        file = self._given(name)
        return JsonResult(file, self.kind(file), read_json(self.root / file))

    def rows(self, name: str) -> list["CsvRow"]:
        """The rows of a CSV result, in file order; cells are text."""
        file = self._given(name)
        kind = self.kind(file)
        with (self.root / file).open(encoding="utf-8", newline="") as handle:
            return [CsvRow(file, kind, row) for row in csv.DictReader(handle)]

    def image(self, stem: str) -> Image | None:
        """The figure `stem`.svg and/or `stem`.png, or None where neither was given."""
        svg, png = (f"{stem}.{ending}" if self.has(f"{stem}.{ending}") else None for ending in ("svg", "png"))
        if svg is None and png is None:
            return None
        return Image(svg and f"{FOLDER}/{svg}", png and f"{FOLDER}/{png}")

    def document(self, name: str) -> Document:
        """The document of the job that made a file."""
        return self.documents[self._given(name)]

    def kind(self, file: str) -> str:
        """deterministic, simulated or measured, as the job that wrote `file` declared."""
        return self.documents[file].identity["kind"]

    def _given(self, name: str) -> str:
        if name not in self._names:
            raise LabError(f"{FOLDER}/{name}: not among the report's inputs; add it to --inputs")
        return f"{FOLDER}/{name}"


def _refuse_unverified(root: Path, files: list[str]) -> None:
    outside = [file for file in files if not file.startswith(f"{FOLDER}/")]
    if outside:
        raise LabError(
            f"{outside[0]}: the report reads only files below {FOLDER}/, named from the project's root"
        )
    require(root, files, "no report is written")


@dataclass(frozen=True)
class JsonResult:
    """A JSON result; its numbers know their file and key."""

    file: str
    kind: str
    body: Any

    def value(self, *keys: str | int) -> Any:
        """The value under a path of keys; LabError names file and key when there is none."""
        found = self.body
        for depth, key in enumerate(keys):
            try:
                found = found[key]
            except (KeyError, IndexError, TypeError) as error:
                missing = _dotted(keys[: depth + 1])
                raise LabError(
                    f"{self.file}: no key {missing}; made by another version? Rerun its rule"
                ) from error
        return found

    def has(self, *keys: str) -> bool:
        """Whether there is a value (not null) under a path of keys."""
        found = self.body
        for key in keys:
            if not isinstance(found, Mapping) or key not in found:
                return False
            found = found[key]
        return found is not None

    def number(
        self, id: str, unit: str, *keys: str | int, label: str, status: str = "", decimals: int | None = None
    ) -> Number:
        """The Number under a path of keys; its status is the file's kind unless another one is given."""
        value = self.value(*keys)
        return Number(
            id, value, unit, status or self.kind, self.file, _dotted(keys), label, decimals=decimals
        )


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
            raise LabError(
                f"{self.file}: no column {column}; made by another version? Rerun its rule"
            ) from error

    def float(self, column: str) -> float:
        """The cell as a number."""
        found = self.text(column)
        try:
            return float(found)
        except ValueError as error:
            raise LabError(f"{self.file}: {found!r} in column {column} is not a number") from error

    def number(
        self,
        id: str,
        unit: str,
        column: str,
        *,
        where: tuple[str, ...],
        label: str,
        decimals: int | None = None,
    ) -> Number:
        """The Number in `column`; `where` names the columns that single the row out."""
        key = f"{column} where " + ", ".join(f"{name}={self.text(name)}" for name in where)
        value = self.float(column)
        return Number(id, value, unit, self.kind, self.file, key, label, decimals=decimals)


def derived(
    id: str, value: float | int | None, unit: str, formula: str, source: Number, *, label: str,
    decimals: int | None = None,
) -> Number:  # fmt: skip
    """A Number computed from others; it stands in the file of `source`, the one it depends on most."""
    return Number(id, value, unit, "derived", source.file, formula, label, decimals=decimals)


def _dotted(keys: Iterable[str | int]) -> str:
    return ".".join(str(key) for key in keys)
