"""The vocabulary of a report: what a text and a table hold, and what they refuse."""

import pytest

from vllm_lab.report import blocks
from vllm_lab.report.results import JsonResult

NUMBER = blocks.Number("a.b", 2, "tokens", "deterministic", "results/x.json", "k", "l")


def test_a_text_takes_in_the_parts_of_the_texts_in_it():
    inner = blocks.joined(", ", [NUMBER, blocks.Code("x"), blocks.text("{n} more", n=NUMBER)])
    outer = blocks.text("There are {inner}.", inner=inner)
    assert outer.parts == ("There are ", NUMBER, ", ", blocks.Code("x"), ", ", NUMBER, " more", ".")
    assert blocks.joined(", ", []).parts == ()


def test_a_field_without_a_value_is_an_error():
    with pytest.raises(KeyError, match="missing"):
        blocks.text("{missing} tokens")


def test_a_table_names_its_columns_and_its_files():
    table = blocks.table(
        "t", "Caption.", ("Words", *blocks.numbers("Count")), [("a", NUMBER)], "results/y.csv"
    )
    assert [(column.title, column.numeric) for column in table.columns] == [("Words", False), ("Count", True)]
    assert blocks.files_of([table]) == ["results/x.json", "results/y.csv"]
    assert list(blocks.numbers_of([table, blocks.Note(blocks.text("{n}", n=NUMBER))])) == [NUMBER, NUMBER]


def test_a_row_of_another_length_is_an_error_that_names_the_table():
    with pytest.raises(ValueError, match="table t: a row of 1 cells, 2 columns"):
        blocks.table("t", "Caption.", ("A", "B"), [("a",)])


def test_a_number_that_was_not_run_needs_a_reason():
    with pytest.raises(ValueError, match=r"a\.b: a number that was not run needs its reason"):
        blocks.Number("a.b", None, "tokens", "not_run", "results/x.json", "k", "l")


def test_the_entries_of_a_list_have_ids_and_labels_of_their_own_fields():
    found = JsonResult(
        "results/x.json", "simulated", {"rows": [{"name": "{a}", "value": 1}]}, id="s", label="S"
    )
    (row,) = found.each("rows", id="{name}.{index}", label="the {name}")
    assert (row.id, row.label) == ("s.{a}.0", "S, the {a}")
    assert row.number("tokens", "value", label="count").key == "rows.0.value"
    assert found.each("absent") == []
