"""Published figures compared with this project's: from sharing/reference.json and mooncake_published.json."""

from vllm_lab.report import blocks
from vllm_lab.report.blocks import Block, Heading, Note, Number, Text, joined, numbers, table, text
from vllm_lab.report.parts.traces import ordered, trace_label
from vllm_lab.report.results import Field, JsonResult, Results, derived, grid
from vllm_lab.sharing.metrics import REFERENCE

_REFERENCE, _MOONCAKE = "sharing/reference.json", "sharing/sweeps/mooncake_published.json"
_MARK = "◂"
_HERE = Field("Found here", "fraction", ("ours",))
# The main figures of a mode: metric -> a clause with the figure found here and the published one.
_CLAUSES = {
    "sharing_mean": "on average {here} of a prompt is shared ({published} published)",
    "block_reuse_rate": "{here} of block accesses are reuse ({published})",
    "block_hits_mean": "a block is accessed {here} times ({published})",
}


def published_blocks(results: Results) -> tuple[list[Block], list[blocks.Answer]]:
    """The blocks and answers on published figures, as far as these were compared."""
    shown: list[Block] = []
    answers: list[blocks.Answer] = []
    if results.has(_REFERENCE):
        run = _Reference(results.json(_REFERENCE, "sharing.reference", "Reference run"))
        shown += run.comparison()
        answers.append(run.answer())
    if results.has(_MOONCAKE):
        found = results.json(_MOONCAKE, "sharing.mooncake", "Mooncake")
        shown += _mooncake(found)
        answers.append(_mooncake_answer(found))
    return shown, answers


class _Figure:
    """One published figure under one definition: a row of reference.json.

    The figure's `first` row provides the published value of all its rows.
    """

    def __init__(self, row: JsonResult, first: JsonResult) -> None:
        self.row = row.body
        self.mode, self.metric = self.row["mode"], self.row["metric"]
        self.unit, _, title, _ = REFERENCE[self.metric]
        self.title = f"{trace_label(self.mode)}: {title[0].lower()}{title[1:]}"
        definition = filter(None, (self.row[key] for key in ("level", "opening", "short_prompts")))
        self._found = row.named(".".join((row.id, *definition)), self.title)
        self._first = first.named(first.id, self.title)
        self._decimals = None if self.metric == "block_hits_max" else 2

    def published(self) -> Number:
        """The figure as published: one number for all definitions."""
        return self._first.number(self.unit, "published", label="as published", decimals=self._decimals)

    def here(self, field: str = "ours") -> Number:
        """The figure as found here under this definition, or its `difference`, or a point of its band."""
        unit = "points" if field == "difference" and self.unit == "fraction" else self.unit
        words = "found here" if field == "ours" else field.replace("_", " ")
        label = f"{words}, {self.row['definition']}"
        return self._found.number(unit, field, label=label, decimals=self._decimals)

    def marked(self) -> blocks.Cell:
        """The figure as found here, with a mark where this definition fits best."""
        return text(f"{_MARK} {{here}}", here=self.here()) if self.row["fits"] else self.here()


class _Reference:
    """The published run on ShareGPT, under each definition."""

    def __init__(self, found: JsonResult) -> None:
        self.found = found
        firsts: dict[str, JsonResult] = {}  # of each figure
        rows = found.each("rows", id="{mode}.{metric}")
        self.figures = [_Figure(row, firsts.setdefault(row.id, row)) for row in rows]
        self.modes = ordered({figure.mode for figure in self.figures})
        fitting = (figure for figure in self.figures if figure.row["fits"])  # no other definition is nearer
        self.fitting = sorted(fitting, key=lambda figure: self.modes.index(figure.mode))
        self.samples = found.number("", "samples", label="random samples")

    def comparison(self) -> list[Block]:
        """The comparison: the best definition of each figure, then every definition."""
        shown: list[Block] = [
            Heading("A published run on ShareGPT", "sharing-reference"),
            self._opening(),
            self._fitting_table(),
        ]
        for mode in self.modes:
            heading = Heading(f"{trace_label(mode)}, every definition", level=4)
            shown += [heading, self._definitions_table(mode)]
        return shown + [_note(note) for note in self.found.value("notes")]

    def _opening(self) -> Text:
        return text(
            "A published run on ShareGPT gives figures of sharing. It does not say whether it counts whole "
            "blocks or tokens, or what comes before the first message. Each possible reading is computed "
            "here on {statement}. The blocks have {size} tokens, {rate} conversations start, and there is no "
            "think time. The same is computed on {samples} random samples of as many conversations. Nothing "
            "is tuned.",
            statement=self.found.value("conversations", "statement"),
            size=self.found.number("tokens", "block_size", label="block size"),
            rate=self.found.number("1/s", "rate", label="conversations started"),
            samples=self.samples,
        )

    def _fitting_table(self) -> Block:
        within = {True: "yes", False: "no", None: "–"}
        rows = (
            (
                figure.title,
                figure.published(),
                figure.here(),
                figure.here("difference"),
                text("{low} to {high}", low=figure.here("band_p10"), high=figure.here("band_p90")),
                within[figure.row["within_band"]],
                figure.row["definition"],
            )
            for figure in self.fitting
        )
        values = numbers("Published", "Found here", "Difference", "Samples, p10 to p90")
        columns = ("Figure", *values, "Within the samples", "Definition that fits best")
        caption = (
            "Each published figure, compared under the definition that is nearest to it. A figure is within "
            "the samples if it is between the smallest and the largest of the random samples."
        )
        return table("reference", caption, columns, rows)

    def _definitions_table(self, mode: str) -> Block:
        """A row for each reading, a column for each figure; the first row is what was published."""
        of_mode = [figure for figure in self.figures if figure.mode == mode]
        lines: dict[str, dict[str, _Figure]] = {}
        for figure in of_mode:
            lines.setdefault(figure.row["definition"], {})[figure.metric] = figure
        published = {figure.metric: figure.published() for figure in of_mode}
        rows: list[tuple[blocks.Cell, ...]] = [("Published", *published.values())]
        for words, line in lines.items():
            cells = (line[metric].marked() if metric in line else None for metric in published)
            rows.append((words, *cells))
        titles = (REFERENCE[metric].title for metric in published)
        mark = f"{_MARK} marks the nearest to the published."
        caption = f"{trace_label(mode)}: what each definition gives. {mark}"
        return table(f"definitions-{mode}", caption, ("Definition", *numbers(*titles)), rows)

    def answer(self) -> blocks.Answer:
        """How many published figures lie within the samples, and the main ones in words."""
        label = "mean relative difference under the closest definition"
        closest = text(
            "One reading fits best as a whole: {definition}. It differs from the published values by "
            "{distance} on average, over sharing, reuse rate and mean accesses of both modes.",
            definition=self.found.value("closest", "definition"),
            distance=self.found.number("fraction", "closest", "mean_relative_difference", label=label),
        )
        modes = [mode for mode in reversed(self.modes) if any(f.mode == mode for f in self.fitting)]
        paragraphs = (self._verdict(), *map(self._mode_words, modes), closest)
        return blocks.Answer("Does ShareGPT here look like the published run?", paragraphs)

    def _verdict(self) -> Text:
        within = derived(
            f"{self.found.id}.figures_within_band",
            sum(figure.row["within_band"] is True for figure in self.fitting),
            "",
            "rows with fits and within_band",
            self.samples,
            label="Reference run: published figures within the range of the samples",
        )
        return text(
            f"{{within}} of {len(self.fitting)} published figures are within the range of {{samples}} random "
            "samples of these conversations, each under the reading that is nearest to it.",
            within=within,
            samples=self.samples,
        )

    def _mode_words(self, mode: str) -> Text:
        """The three main figures of one mode, found here and published."""
        figures = {figure.metric: figure for figure in self.fitting if figure.mode == mode}
        clauses = (
            text(clause, here=figures[metric].here(), published=figures[metric].published())
            for metric, clause in _CLAUSES.items()
            if metric in figures  # else undefined on a trace this small
        )
        return text("{mode}: {clauses}.", mode=trace_label(mode), clauses=joined(", ", clauses))


def _mooncake(found: JsonResult) -> list[Block]:
    return [
        Heading("Mooncake's published hit rates", "sharing-mooncake"),
        _ratio_table(found),
        _note(found.value("cache_ratio", "note")),
        _capacity_table(found),
        _note(found.value("table_1", "note")),
    ]


def _note(words: str) -> Note:
    return Note(Text((words,)))


def _ratio(found: JsonResult) -> blocks.Cell:
    return found.cell(Field("Published cache ratio", "fraction", ("cache_ratio", "published")))


def _readings(found: JsonResult) -> dict[str, JsonResult]:
    """Each way to compute the ratio, by its words."""
    readings = found.each("cache_ratio", "readings", id="cache_ratio.{index}", label="{reading}")
    return {reading.value("reading"): reading for reading in readings}


def _ratio_table(found: JsonResult) -> Block:
    rows = (((words,), reading) for words, reading in _readings(found).items())
    caption = text(
        "The published ratio is {published} ({source}). Each row is one way to compute it here.",
        published=_ratio(found),
        source=found.value("cache_ratio", "source"),
    )
    fields = (_HERE, Field("Difference", "points", ("difference",)))
    return grid("mooncake-ratio", caption, ("Which two numbers are divided",), rows, fields)


def _capacity_table(found: JsonResult) -> Block:
    """One row per capacity; for each policy the published rate and the one found here."""
    id, label = "table_1.{policy}.{capacity_blocks}", "{policy}, capacity {capacity_blocks} blocks"
    rates: dict[str, dict[str, JsonResult]] = {}  # capacity -> policy -> rate
    for row in found.each("table_1", "rows", id=id, label=label):
        rates.setdefault(row.value("capacity_blocks"), {})[row.value("policy")] = row
    fields = (Field("Published", "fraction", ("published",)), _HERE)
    policies = next(iter(rates.values()))
    rows = (
        (
            "unbounded" if capacity == "inf" else f"{int(capacity):,}",
            *(of_policy[policy].cell(field) for policy in policies for field in fields),
        )
        for capacity, of_policy in rates.items()
    )
    titles = (f"{policy}, {field.title.lower()}" for policy in policies for field in fields)
    caption = text(
        "Block hit rates with the same capacities: published ({source}) and found here.",
        source=found.value("table_1", "source"),
    )
    return table("mooncake-capacities", caption, numbers("Capacity, blocks", *titles), rows)


def _mooncake_answer(found: JsonResult) -> blocks.Answer:
    closest = found.value("cache_ratio", "closest")
    body = text(
        "For Mooncake's conversation trace the paper gives {published} as the most that a cache can find. "
        "The nearest reading here gives {here} ({reading}). The hit rates by capacity in an earlier paper "
        "come from another trace.",
        published=_ratio(found),
        here=_readings(found)[closest].cell(_HERE),
        reading=closest,
    )
    return blocks.Answer("Do these methods find what others published on their own trace?", (body,))
