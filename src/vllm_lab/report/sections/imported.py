"""Traces of other people: their sharing, and Mooncake's published hit rates beside ours."""

from vllm_lab.report import metric_tables as tables
from vllm_lab.report.blocks import Answer, Block, Column, Heading, Note, Number, Section, Table, text
from vllm_lab.report.results import JsonResult, Results

_PUBLISHED = "sweeps/mooncake_published.json"


def build(results: Results) -> Section | None:
    """The section on imported traces; None where there are none."""
    stats = tables.stats_of(results, "block")
    blocks: list[Block] = []
    answers: tuple[Answer, ...] = ()
    if stats:
        blocks += [
            text(
                "These traces hold hashes of blocks instead of tokens, and the last block of a prompt has a "
                "hash of its own although it is not full. It is counted as a block here, as its authors do."
            ),
            tables.metrics_table("imported-metrics", stats),
            tables.working_set_table("imported-working-set", stats),
        ]
    if results.has(_PUBLISHED):
        found = results.json(_PUBLISHED)
        blocks += _published(found)
        answers = (_answer(found),)
    return Section("imported", "Other people's traces", tuple(blocks), answers) if blocks else None


def _published(found: JsonResult) -> list[Block]:
    return [
        Heading("Mooncake's published hit rates beside ours"),
        _ratio_table(found),
        Note(text("{note}", note=found.value("cache_ratio", "note"))),
        _capacity_table(found),
        Note(text("{note}", note=found.value("table_1", "note"))),
    ]


def _ratio(found: JsonResult) -> Number:
    label = "Mooncake, conversation trace: cache ratio as published"
    return found.number("mooncake.cache_ratio.published", "fraction", "cache_ratio", "published", label=label)


def _reading(found: JsonResult, index: int, field: str) -> Number:
    words = found.value("cache_ratio", "readings", index, "reading")
    return found.number(
        f"mooncake.cache_ratio.{index}.{field}",
        "points" if field == "difference" else "fraction",
        "cache_ratio",
        "readings",
        index,
        field,
        label=f"Mooncake, conversation trace: {field}, {words}",
    )


def _ratio_table(found: JsonResult) -> Table:
    rows = tuple(
        (
            reading["reading"],
            _ratio(found),
            _reading(found, index, "ours"),
            _reading(found, index, "difference"),
        )
        for index, reading in enumerate(found.value("cache_ratio", "readings"))
    )
    columns = (
        Column("What is divided by what"),
        Column("Published", numeric=True),
        Column("Ours", numeric=True),
        Column("Difference", numeric=True),
    )
    caption = text("{source}, beside ours.", source=found.value("cache_ratio", "source"))
    return Table("mooncake-ratio", caption, columns, rows, (found.file,))


def _capacity_table(found: JsonResult) -> Table:
    """A row for each capacity; published and ours for each policy."""
    places = {
        (row["capacity_blocks"], row["policy"]): index
        for index, row in enumerate(found.value("table_1", "rows"))
    }
    capacities = list(dict.fromkeys(capacity for capacity, _ in places))
    policies = list(dict.fromkeys(policy for _, policy in places))

    def rate(capacity: str, policy: str, field: str) -> Number:
        index = places[capacity, policy]
        label = f"Mooncake, {policy}, capacity {capacity} blocks: hit rate, {field}"
        id = f"mooncake.table_1.{policy}.{capacity}.{field}"
        return found.number(id, "fraction", "table_1", "rows", index, field, label=label)

    rows = tuple(
        (
            "unbounded" if capacity == "inf" else f"{int(capacity):,}",
            *(rate(capacity, policy, field) for policy in policies for field in ("published", "ours")),
        )
        for capacity in capacities
    )
    numeric = (
        Column(f"{policy}, {field}", numeric=True) for policy in policies for field in ("published", "ours")
    )
    caption = "Block hit rates of Mooncake's paper (arXiv 2407.00079, table 1) beside ours, same capacities."
    columns = (Column("Capacity, blocks", numeric=True), *numeric)
    return Table("mooncake-capacities", text(caption), columns, rows)


def _answer(found: JsonResult) -> Answer:
    closest = found.value("cache_ratio", "closest")
    readings = [reading["reading"] for reading in found.value("cache_ratio", "readings")]
    body = text(
        "On Mooncake's conversation trace the paper's most is {published}; the nearest reading here gives "
        "{ours} ({reading}). The hit rates by capacity in an earlier paper come from another trace.",
        published=_ratio(found),
        ours=_reading(found, readings.index(closest), "ours"),
        reading=closest,
    )
    return Answer("Do these methods find what others published on their own trace?", (body,))
