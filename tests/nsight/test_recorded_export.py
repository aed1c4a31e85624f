"""A recorded capture of vLLM without a GPU: the metrics are those that plain SQL gives of the same tables."""

import sqlite3
from contextlib import closing

import pytest

from tests.nsight.exports import document_of, export_of, metrics_of
from vllm_lab.nsight.metrics import METRICS, PARTS

KINDS = ["prefill", "mixed", *["decode"] * 4]


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    return export_of("cpu_export", tmp_path_factory.mktemp("recorded"))


@pytest.fixture(scope="module")
def document(export):
    return document_of(export)


def sql(export, query: str, *values) -> float:
    with closing(sqlite3.connect(export)) as connection:
        return connection.execute(query, values).fetchone()[0]


def seconds_in_decode_steps(export, name: str) -> float:
    """Our ranges `name` whose step holds a model.execute.decode."""
    return sql(
        export,
        "WITH ranges AS (SELECT start, end, value AS name FROM NVTX_EVENTS JOIN StringIds ON id = textId),"
        " steps AS (SELECT s.start, s.end FROM ranges s JOIN ranges e ON e.start > s.start AND e.end < s.end"
        " WHERE s.name = 'engine.step' AND e.name = 'model.execute.decode')"
        " SELECT sum(r.end - r.start) / 1e9 FROM ranges r JOIN steps ON r.start >= steps.start"
        " AND r.end <= steps.end WHERE r.name = ?",
        name,
    )


def test_steps_are_of_the_kinds_that_the_scheduler_made_them(document):
    assert [step["kind"] for step in document["steps"]] == KINDS


@pytest.mark.parametrize("part", PARTS)
def test_shares_of_decode_steps_are_those_that_sql_gives(document, export, part):
    inside, whole = (seconds_in_decode_steps(export, name) for name in (PARTS[part], "engine.step"))
    assert metrics_of(document)[f"decode_{part}_share"] == pytest.approx(inside / whole)


def test_ranges_of_other_domains_are_counted_and_are_no_parts_of_steps(document, export):
    counts = {(row["domain"], row["name"]): row["count"] for row in document["ranges"]}
    blocks = sql(
        export, "SELECT count(*) FROM NVTX_EVENTS JOIN StringIds ON id = textId WHERE value LIKE '%slots'"
    )
    assert counts["", "schedule: allocate_slots"] == blocks > 0
    assert counts["vllm_lab", "engine.step"] == len(KINDS)


def test_calls_of_other_threads_count_for_the_capture_and_not_for_the_steps(document):
    assert sum(row["count"] for row in document["os_calls"]) == 12
    assert metrics_of(document)["os_calls_per_step"] == pytest.approx(5 / 6)


def test_every_gpu_metric_says_why_it_is_absent(document):
    of_gpu = [name for name, metric in METRICS.items() if "CUPTI" in metric.source]
    assert len(of_gpu) == 10
    for name in of_gpu:
        assert metrics_of(document)[name] is None
        assert "CUDA was not traced" in document["absent"][name]
