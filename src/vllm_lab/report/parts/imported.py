"""Traces of other people: their sharing, and Mooncake's published hit rates beside ours."""

from vllm_lab.report import metric_tables as tables
from vllm_lab.report.blocks import Answer, Block, Cell, Column, Heading, Note, Number, Section, Table, text
from vllm_lab.report.curves import Curve, curves
from vllm_lab.report.replays import Replay, imported_replays
from vllm_lab.report.results import JsonResult, Results
from vllm_lab.report.trace_names import trace_label

_PUBLISHED = "sharing/sweeps/mooncake_published.json"
_SWEEPS = "sharing/sweeps/hit_rates.csv"


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
    blocks += _replayed(results)
    if results.has(_PUBLISHED):
        found = results.json(_PUBLISHED)
        blocks += _published(found)
        answers = (_answer(found),)
    return Section("imported", "Other people's traces", tuple(blocks), answers) if blocks else None


def _replayed(results: Results) -> list[Block]:
    """What an engine finds in its cache beside what the sweep's LRU finds in one of the same size."""
    replays = imported_replays(results)
    if not replays:
        return []
    swept = curves(results.rows(_SWEEPS)) if results.has(_SWEEPS) else []
    lru = {curve.trace: curve for curve in swept if curve.policy == "lru"}
    metrics = (("preemptions", "Preemptions"), ("ttft_mean", "TTFT, mean"), ("makespan", "Makespan"))
    rows = tuple(
        (
            f"{trace_label(replay.trace)}, {replay.memory}",
            replay.found.number(
                f"imported.{replay.engine}.{replay.trace}.{replay.memory}.num_blocks",
                "blocks",
                "limits",
                "num_blocks",
                label=f"{trace_label(replay.trace)}, {replay.memory} memory: blocks with the null block",
            ),
            replay.metric("hit_rate", "Prompt tokens found"),
            _swept_rate(replay, lru.get(replay.trace)),
            *(replay.metric(name, title) for name, title in metrics),
        )
        for replay in replays
    )
    columns = (
        Column("Trace, memory"),
        Column("Blocks", numeric=True),
        Column("Found by v4_prefix", numeric=True),
        Column("Found by the sweep's lru", numeric=True),
        *(Column(title, numeric=True) for _, title in metrics),
    )
    caption = text(
        "All requests through mini-vLLM's v4_prefix in virtual time, in blocks of the trace's own size, and "
        "the sweep with a cache of as many blocks as the engine can use."
    )
    note = text(
        "The sweep serves one request after another and counts the partial last block. The engine serves "
        "many at once, keeps outputs in the same blocks, evicts nothing that runs, and finds full blocks "
        "alone."
    )
    heading = Heading("Through an engine")
    return [heading, Table("imported-replays", caption, columns, rows), Note(note)]


def _swept_rate(replay: Replay, lru: Curve | None) -> Cell:
    """The sweep's rate at the engine's capacity without the null block; a dash where that was not swept."""
    tokens = (replay.found.value("limits", "num_blocks") - 1) * replay.found.value("limits", "block_size")
    points = [point for point in lru.points if point.capacity == tokens] if lru else []
    return lru.rate(points[0]) if lru and points else "–"


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
