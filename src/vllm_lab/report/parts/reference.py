"""The published reference run beside ours, under each definition: from sharing/reference.json."""

from dataclasses import dataclass

from vllm_lab.report.blocks import (
    Answer,
    Block,
    Cell,
    Column,
    Heading,
    Inline,
    Note,
    Number,
    Section,
    Table,
    Text,
    text,
)
from vllm_lab.report.results import JsonResult, Results, derived
from vllm_lab.report.trace_names import ordered, trace_label

_FILE = "sharing/reference.json"
_MARK = "◂"
_METRICS = {
    "sharing_mean": "Sharing, mean",
    "sharing_median": "Sharing, median",
    "block_reuse_rate": "Reuse rate",
    "block_hits_mean": "Accesses per block, mean",
    "block_hits_max": "Accesses per block, maximum",
    "reuse_gap_mean_s": "Reuse gap, mean",
}
_UNITS = {"fraction": "fraction", "accesses": "accesses/block", "s": "s"}


@dataclass(frozen=True)
class Row:
    """One published figure under one definition: row `index` of the file.

    `first` is the index of the figure's first row, from which the published value is taken.
    """

    found: JsonResult
    index: int
    first: int

    def value(self, key: str) -> str | float | bool | None:
        """A field of the row."""
        return self.found.value("rows", self.index, key)

    @property
    def figure(self) -> tuple[str, str]:
        """Mode and metric."""
        return self.value("mode"), self.value("metric")

    @property
    def title(self) -> str:
        """The figure in words."""
        mode, metric = self.figure
        return f"{trace_label(mode)}: {_METRICS[metric][0].lower()}{_METRICS[metric][1:]}"

    def published(self) -> Number:
        """The figure as published: one number for all definitions."""
        return self._number(self.first, "published", ".".join(self.figure), self._unit, "as published")

    def ours(self, field: str = "ours") -> Number:
        """The figure as found here under this definition, or its `difference` or a point of its band."""
        unit = "points" if field == "difference" and self._unit == "fraction" else self._unit
        definition = (self.value(key) for key in ("level", "opening", "short_prompts"))
        scope = ".".join((*self.figure, *filter(None, definition)))
        words = f"{field.replace('_', ' ')}, {self.value('definition')}"
        return self._number(self.index, field, scope, unit, words)

    @property
    def _unit(self) -> str:
        return _UNITS[self.value("unit")]

    def _number(self, index: int, field: str, scope: str, unit: str, words: str) -> Number:
        decimals = None if self.value("metric") == "block_hits_max" else 2
        return self.found.number(
            f"reference.{scope}.{field}", unit, "rows", index, field,
            label=f"{self.title}, {words}", decimals=decimals,
        )  # fmt: skip


def build(results: Results) -> Section | None:
    """The section; None where the comparison was not made."""
    if not results.has(_FILE):
        return None
    found = results.json(_FILE)
    rows = _rows(found)
    modes = _modes(rows)
    fitting = sorted((row for row in rows if row.value("fits")), key=lambda row: modes.index(row.figure[0]))
    blocks: list[Block] = [_opening(found), _fitting_table(fitting)]
    for mode in modes:
        mine = [row for row in rows if row.figure[0] == mode]
        blocks += [Heading(f"{trace_label(mode)}, every definition"), _definitions_table(mode, mine)]
    blocks += [Note(text("{note}", note=note)) for note in found.value("notes")]
    return Section("reference", "The published run beside ours", tuple(blocks), (_answer(found, fitting),))


def _rows(found: JsonResult) -> list[Row]:
    firsts: dict[tuple[str, str], int] = {}
    rows = []
    for index, row in enumerate(found.value("rows")):
        first = firsts.setdefault((row["mode"], row["metric"]), index)
        rows.append(Row(found, index, first))
    return rows


def _opening(found: JsonResult) -> Block:
    return text(
        "A run on ShareGPT published figures but not whether sharing counts whole blocks or tokens, nor "
        "what stands before the first message. Each reading is computed here on {statement}, with blocks "
        "of {size} tokens, {rate} conversations started and no think time, and on {samples} random samples "
        "of as many. Nothing is tuned.",
        statement=found.value("conversations", "statement"),
        size=found.number("reference.block_size", "tokens", "block_size", label="Reference run: block size"),
        rate=found.number("reference.rate", "1/s", "rate", label="Reference run: conversations started"),
        samples=_samples(found),
    )


def _samples(found: JsonResult) -> Number:
    return found.number("reference.samples", "", "samples", label="Reference run: random samples")


def _fitting_table(fitting: list[Row]) -> Table:
    rows = tuple(
        (
            row.title,
            row.published(),
            row.ours(),
            row.ours("difference"),
            text("{low} to {high}", low=row.ours("band_p10"), high=row.ours("band_p90")),
            {True: "yes", False: "no", None: "–"}[row.value("within_band")],
            row.value("definition"),
        )
        for row in fitting
    )
    columns = (
        Column("Figure"),
        Column("Published", numeric=True),
        Column("Ours", numeric=True),
        Column("Difference", numeric=True),
        Column("Samples, p10 to p90", numeric=True),
        Column("Within the samples"),
        Column("Definition that fits"),
    )
    caption = (
        "Published figures beside ours, each under the definition that comes nearest. Within the samples: "
        "between the least and the greatest of the random samples."
    )
    return Table("reference", text(caption), columns, rows)


def _definitions_table(mode: str, mine: list[Row]) -> Table:
    """A row for each reading, a column for each figure; the first row is what was published."""
    metrics = list(dict.fromkeys(row.figure[1] for row in mine))
    first = {row.figure[1]: row for row in reversed(mine)}
    lines: dict[str, dict[str, Row]] = {}
    for row in mine:
        lines.setdefault(row.value("definition"), {})[row.figure[1]] = row
    rows = [("Published", *(first[metric].published() for metric in metrics))]
    rows += [(words, *(_marked(line.get(metric)) for metric in metrics)) for words, line in lines.items()]
    columns = (Column("Definition"), *(Column(_METRICS[metric], numeric=True) for metric in metrics))
    caption = (
        f"{trace_label(mode)}: what each definition gives. {_MARK} marks the nearest to the published figure."
    )
    return Table(f"definitions-{mode}", text(caption), columns, tuple(rows))


def _marked(row: Row | None) -> Cell:
    if row is None:
        return None
    return text(f"{_MARK} {{ours}}", ours=row.ours()) if row.value("fits") else row.ours()


def _answer(found: JsonResult, fitting: list[Row]) -> Answer:
    modes = _modes(fitting)
    paragraphs = [
        _verdict(found, fitting),
        *(_mode_words(mode, [row for row in fitting if row.figure[0] == mode]) for mode in reversed(modes)),
        text(
            "The one reading that fits best as a whole: {definition}. It is off by {distance} of the "
            "published value on average, over sharing, reuse rate and mean accesses of both modes.",
            definition=found.value("closest", "definition"),
            distance=found.number(
                "reference.closest.mean_relative_difference",
                "fraction",
                "closest",
                "mean_relative_difference",
                label="Reference run: mean relative difference under the closest definition",
            ),
        ),
    ]
    return Answer("Does ShareGPT here look like the published run?", tuple(paragraphs))


def _modes(rows: list[Row]) -> list[str]:
    return ordered({row.figure[0] for row in rows})


def _verdict(found: JsonResult, fitting: list[Row]) -> Text:
    within = derived(
        "reference.figures_within_band",
        sum(row.value("within_band") is True for row in fitting),
        "",
        "rows with fits and within_band",
        _samples(found),
        label="Reference run: published figures within the range of the samples, under their nearest reading",
    )
    return text(
        f"{{within}} of {len(fitting)} published figures lie within the range of {{samples}} random samples "
        "of these conversations, each under the reading that comes nearest.",
        within=within,
        samples=_samples(found),
    )


def _mode_words(mode: str, fitting: list[Row]) -> Text:
    """The three main figures of one mode, ours and published."""
    rows = {row.figure[1]: row for row in fitting}
    words = {
        "sharing_mean": "{} of a prompt is shared on average ({} published)",
        "block_reuse_rate": "{} of block accesses are reuse ({})",
        "block_hits_mean": "a block is accessed {} times ({})",
    }
    parts: list[Inline] = [f"{trace_label(mode)}: "]
    for metric, template in words.items():
        if metric not in rows:  # undefined on a trace this small
            continue
        row = rows[metric]
        before, between, after = template.split("{}")
        parts += [before, row.ours(), between, row.published(), after, ", "]
    return Text((*parts[:-1], "."))
