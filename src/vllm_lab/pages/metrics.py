"""docs/metrics.md: every metric with unit, definition and source, from the tables of the packages."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from vllm_lab.common.display import escape
from vllm_lab.common.metric import Metric, title_of
from vllm_lab.cost_model import fit as cost_model
from vllm_lab.load import result as load
from vllm_lab.measure.document import Test
from vllm_lab.nsight import document as nsight
from vllm_lab.plan import basics, code_quality, pairs, prefix_cache, scaling
from vllm_lab.replay import metrics as replay
from vllm_lab.sharing import metrics as sharing
from vllm_lab.tracing import documents as tracing

_INTRODUCTION = """# Metrics

Every number of the report is one of these metrics. Each table has the metrics of one stage, or of one test of
the [benchmark plan](plan.md). The line above a table says in which files of results/ they appear. `make docs`
writes this page from the tables in the code.

P is the number of prompt tokens of a request, N is the number of its output tokens, and B is the block size
(tokens).
"""


class Table(NamedTuple):
    """The metrics of one stage or test, and the files (patterns) in which they appear."""

    title: str
    files: str
    metrics: Mapping[str, Metric]
    question: str = ""


def tables() -> Iterator[Table]:
    """All tables, in the order of the stages."""
    runs = "replay/*.json, oracle/*.json, experiments/*.json"
    pairs_of_runs = "replay/comparison.json, experiments/*.verdict.json"
    yield Table("Prefix sharing", "sharing/*_stats.json", sharing.METRICS)
    yield Table("Replays, all requests or those of one priority", runs, replay.REQUEST_METRICS)
    yield Table("Replays, the whole run", runs, replay.RUN_METRICS)
    yield Table("Two replays compared", pairs_of_runs, replay.COMPARISON_METRICS)
    yield _of("cost_model/fit.json", cost_model.TEST)
    for test in _plan():
        yield _of(f"plan/*/{test.id}.json", test)
    yield _of("plan/code_quality.json", code_quality.TEST)
    yield _of("load/load.json", load.TEST)
    for name, test in tracing.TESTS.items():
        yield _of(f"tracing/*/{name}.json", test)
    yield _of("nsight/*.json", nsight.TEST)


def _plan() -> Iterator[Test]:
    yield from (basics.THROUGHPUT_TEST, basics.LATENCY_TEST, basics.MEMORY_TEST, prefix_cache.TEST)
    yield from (pair.test for pair in pairs.PAIRS.values())
    yield from scaling.tests([1, 2]).values()


def _of(files: str, test: Test) -> Table:
    return Table(test.name, files, test.metrics, test.question)


def render() -> str:
    """The page as Markdown. A table has a column for sources where one of its metrics has a source."""
    page = _INTRODUCTION
    for table in tables():
        files = ", ".join(f"`{file}`" for file in table.files.split(", "))
        about = f"{table.question} In {files}.".strip()
        columns = ["metric", "title", "unit", "definition"]
        if any(metric.source for metric in table.metrics.values()):
            columns.append("source")
        page += f"\n## {table.title}\n\n{about}\n\n{_row(columns)}{'|---' * len(columns)}|\n"
        for name, metric in table.metrics.items():
            cells = (title_of(name, metric), metric.unit, metric.definition, metric.source)
            page += _row([f"`{name}`", *map(escape, cells)][: len(columns)])
    return page


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"
