"""A project with results of every stage, and the report on them."""

import json
from pathlib import Path

import pytest

from tests.report.example import example, write_report
from tests.report.page import Page


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The root of a project with results of every stage, and the files to give to the report."""
    root = tmp_path_factory.mktemp("project")
    return root, example(root)


@pytest.fixture(scope="session")
def written(made: tuple[Path, list[str]]) -> Path:
    """The folder of the report on every stage."""
    return write_report(*made)


@pytest.fixture(scope="session")
def page(written: Path) -> Page:
    """Its page."""
    return Page((written / "index.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def summary(written: Path) -> dict:
    """Its summary."""
    return json.loads((written / "summary.json").read_text(encoding="utf-8"))
