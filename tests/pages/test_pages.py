"""The generated pages are current, and show what the code and the configuration say."""

from pathlib import Path

import pytest

from vllm_lab.common.errors import LabError
from vllm_lab.pages import configuration, metrics
from vllm_lab.pages.__main__ import pages, with_packages

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
CONFIG = (ROOT / "config.yaml").read_text()


@pytest.mark.parametrize("name", ["architecture", "configuration", "metrics"])
def test_a_generated_page_is_current(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    path = Path(f"docs/{name}.md")
    assert path.read_text() == pages()[path], "run: make docs"


def test_the_table_of_packages_needs_its_marks():
    with pytest.raises(LabError, match="expected one table between"):
        with_packages("# Architecture")


def test_every_metric_has_a_unit_or_counts_something_and_a_definition():
    for table in metrics.tables():
        assert table.metrics, table.title
        for name, metric in table.metrics.items():
            assert metric.definition, f"{table.title}: {name}"


def test_a_metric_is_shown_with_its_unit_formula_and_source():
    page = metrics.render()
    assert "| `hit_rate` | Hit rate of prompt tokens | fraction |" in page
    assert "vLLM: vllm:time" in page.replace("\\", "")


def test_the_configuration_s_page_shows_default_bounds_and_meaning_of_a_key():
    page = configuration.render(CONFIG, SCHEMA)
    assert "| `traces.rate` | `2.0` | number > 0 | conversations that start per second" in page
    assert "| `sharegpt.source` | `pypi` | `pypi` \\| `hub` \\| `path` | pypi: a part" in page


def test_a_key_without_a_schema_is_named():
    with pytest.raises(LabError, match=r"no such key: traces\.speed"):
        configuration.render("traces:\n  speed: 3\n", SCHEMA)


@pytest.mark.parametrize(
    ("text", "meanings"),
    [
        ("a: 1  # one\nb: 2\n", ["one", ""]),
        ("a:  # all\n  b: [1,\n    2]  # two\n", ["all", "two"]),
        ("a: {b: 1, c: 2}  # both\n", ["both", "", ""]),
        ("a:  # both\n  {b: 1}\n", ["both", ""]),
        ("a: '#1'  # first\n         # line\nb: 2\n", ["first line", ""]),
    ],
)
def test_a_comment_is_the_meaning_of_the_key_before_it(text, meanings):
    assert [key.meaning for key in configuration.keys(text)] == meanings
