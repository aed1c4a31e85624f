"""Tables of replays: whether they take vLLM's decisions, and what came of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vllm_lab.report import decisions
from vllm_lab.report.blocks import Cell, Column, Table, text
from vllm_lab.report.replays import ENGINES, Account, Replay
from vllm_lab.report.trace_names import trace_label

METRICS = {
    "finished": "Requests finished",
    "refused": "Requests refused: larger than the memory",
    "crash_step": "Ended for want of a block in step",
    "preemptions": "Preemptions",
    "preempted_requests": "Requests preempted",
    "hit_rate": "Prompt tokens found in the cache",
    "evictions": "Cached blocks evicted",
    "recomputed_tokens": "Tokens computed again",
    "ttft_mean": "TTFT, mean",
    "ttft_p99": "TTFT, 99th percentile",
    "tpot_mean": "TPOT, mean",
    "tpot_p99": "TPOT, 99th percentile",
    "e2e_mean": "E2E, mean",
    "e2e_p99": "E2E, 99th percentile",
    "makespan": "Time 0 to the last token",
    "output_throughput": "Output tokens per second",
    "steps": "Steps",
}
_APART = {
    "ttft_mean": "TTFT, mean",
    "tpot_mean": "TPOT, mean",
    "e2e_mean": "E2E, mean",
    "preemptions": "Preemptions",
    "makespan": "Time to the last token",
}


def exactness_table(compared: Sequence[Account]) -> Table:
    """A row for each replay of a version: steps and requests that are vLLM's, and the first that is not."""
    columns = (
        Column("Trace, memory"),
        Column("Version"),
        Column("Steps equal", numeric=True),
        Column("Steps that differ", numeric=True),
        Column("First in step", numeric=True),
        Column("Requests that differ", numeric=True),
    )
    caption = text(
        "Step by step and request by request, byte for byte. v4_prefix stands against vLLM with its prefix "
        "cache, the others against vLLM without."
    )
    return Table("exactness", caption, columns, tuple(_exactness_row(found) for found in compared))


def _exactness_row(found: Account) -> tuple[Cell, ...]:
    trace, memory = found.place
    head = (f"{trace_label(trace)}, {memory}", found.version)
    if not found.ran:
        return (*head, found.not_run(), "not run", "not run", "not run")
    return (
        *head,
        found.number("steps", "equal_steps", label="steps equal to vLLM's"),
        found.number("steps", "differing_steps", label="steps that differ from vLLM's"),
        decisions.first_step(found) if found.value("first_difference") else "–",
        found.number("requests", "differing_requests", label="requests that differ from vLLM's"),
    )


def apart_table(compared: Sequence[Account]) -> Table | None:
    """How far the metrics part where decisions do; None where no replay differs."""
    rows = tuple(
        (
            f"{trace_label(found.place[0])}, {found.place[1]}",
            found.version,
            *(_relative(found, name, title) for name, title in _APART.items()),
        )
        for found in compared
        if found.ran and not found.value("equal")
    )
    if not rows:
        return None
    columns = (
        Column("Trace, memory"),
        Column("Version"),
        *(Column(title, numeric=True) for title in _APART.values()),
    )
    caption = text(
        "How far the metrics of those that differ are from vLLM's, relative to vLLM's. Where v1_naive ended, "
        "only what had finished is in its means."
    )
    return Table("apart", caption, columns, rows)


def _relative(found: Account, name: str, title: str) -> Cell:
    keys = ("metrics", name, "relative_difference")
    if found.value(*keys) is None:
        return "–"
    return found.number("fraction", *keys, label=f"{title}, (mini - vLLM) / vLLM")


def metrics_table(trace: str, memory: str, engines: dict[str, Replay]) -> Table:
    """A column an engine, a row a metric; metrics that no engine has are left out."""
    rows = []
    for name, title in METRICS.items():
        shown = [replay for replay in engines.values() if replay.ran and replay.found.has("metrics", name)]
        if any(replay.found.value("metrics", name) for replay in shown):
            rows.append((title, *_cells(name, title, engines.values(), first=not rows)))
    columns = (Column("Metric"), *(Column(ENGINES[engine], numeric=True) for engine in engines))
    caption = text(f"{trace_label(trace)} trace, {memory} memory. Times are virtual.")
    return Table(f"scheduling-{trace}-{memory}", caption, columns, tuple(rows))


def _cells(name: str, title: str, engines: Iterable[Replay], first: bool) -> list[Cell]:
    """An engine that was not run gives its reason once, in the first row."""
    return [replay.metric(name, title) if replay.ran or first else "not run" for replay in engines]
