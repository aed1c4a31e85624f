"""A project with results of every part, and the report made of them."""

from pathlib import Path

import pytest

from tests.report.example import example, write_report


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report on every part."""
    root = tmp_path_factory.mktemp("project")
    return write_report(root, example(root))
