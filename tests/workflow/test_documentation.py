"""The picture of the rules is current, links lead somewhere, and the conventional files agree."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
Graph = tuple[set[str], set[tuple[str, str]]]


def closure(graph: Graph) -> Graph:
    """The graph with an edge between all nodes that a path connects."""
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
    """The picture leaves out an arrow if a longer way leads to the same rule, so closures are compared."""
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


@pytest.mark.parametrize(
    "page", sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]), ids=lambda p: p.name
)
def test_links_between_pages_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
