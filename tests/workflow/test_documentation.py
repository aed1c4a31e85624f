"""Pages and pictures that are generated are current; the conventional files are there and agree."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from vllm_lab.common.errors import LabError
from vllm_lab.pages import config_page

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
CONFIG = (ROOT / "config.yaml").read_text()
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
Graph = tuple[set[str], set[tuple[str, str]]]


def test_the_configuration_s_page_is_current():
    page = config_page.render(CONFIG, SCHEMA)
    assert (ROOT / "docs/configuration.md").read_text() == page, "run: make docs"


def test_the_page_tells_default_bounds_and_meaning_of_a_key():
    page = config_page.render(CONFIG, SCHEMA)
    assert "| `traces.rate` | `2.0` | number > 0 | conversations that start per second" in page
    assert "| `sharegpt.source` | `pypi` | `pypi` \\| `hub` \\| `path` | pypi: the packaged part" in page


def test_a_key_without_a_schema_is_named():
    with pytest.raises(LabError, match=r"no such key: traces\.speed"):
        config_page.render("traces:\n  speed: 3\n", SCHEMA)


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
    assert [key.meaning for key in config_page.keys(text)] == meanings


def closure(graph: Graph) -> Graph:
    """The graph with an edge wherever a path leads."""
    nodes, edges = graph
    for middle in nodes:
        before = {a for a, b in edges if b == middle}
        after = {b for a, b in edges if a == middle}
        edges = edges | {(a, b) for a in before for b in after}
    return nodes, edges


def graph(labels: list[tuple[str, str]], arrows: list[tuple[str, str]]) -> Graph:
    names = dict(labels)
    return set(names.values()), {(names[a], names[b]) for a, b in arrows}


def test_the_picture_of_the_rules_is_current():
    """The picture leaves out arrows that a longer way stands for; what leads to what must be the same."""
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--quiet", "all", "--rulegraph", "--", "archive"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    drawn = (ROOT / "docs/rules.svg").read_text()
    now = graph(
        re.findall(r'(\d+)\[label = "(\w+)"', done.stdout), re.findall(r"(\d+) -> (\d+)", done.stdout)
    )
    then = graph(
        re.findall(r'<g id="node\d+".*?<title>(\d+)</title>.*?<text[^>]*>(\w+)</text>', drawn, re.DOTALL),
        re.findall(r"<title>(\d+)&#45;&gt;(\d+)</title>", drawn),
    )
    assert len(now[0]) > 20
    assert closure(then) == closure(now), "run: make docs"


def test_version_and_licence_are_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (str(CITATION["version"]), CITATION["license"]) == (project["version"], project["license"])
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert f"## [{project['version']}] - " in (ROOT / "CHANGELOG.md").read_text()


def test_the_citation_has_what_its_format_requires():
    assert CITATION["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= CITATION.keys()


def test_each_habit_of_contributing_takes_less_than_ten_lines():
    _, *chapters = (ROOT / "CONTRIBUTING.md").read_text().split("\n## ")
    titles, bodies = zip(*(chapter.split("\n", 1) for chapter in chapters), strict=True)
    lengths = dict(zip(titles, (len(body.strip().splitlines()) for body in bodies), strict=True))
    assert {"Add a rule", "Add an experiment", "Add a benchmark", "Add a mini-vLLM version"} <= lengths.keys()
    assert all(length < 10 for length in lengths.values()), lengths


@pytest.mark.parametrize(
    "page", sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]), ids=lambda p: p.name
)
def test_links_between_pages_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
