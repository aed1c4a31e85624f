"""A project with results of every part, and the report made of them."""

import json
from pathlib import Path

import pytest

from tests.report.example import example, write_report
from tests.report.page import Page


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report on every part."""
    root = tmp_path_factory.mktemp("project")
    return write_report(root, example(root))


@pytest.fixture(scope="session")
def page(written: Path) -> Page:
    """Its page."""
    return Page((written / "index.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def summary(written: Path) -> dict:
    """Its summary."""
    return json.loads((written / "summary.json").read_text(encoding="utf-8"))
