"""docs/sharing.md and docs/traces.md name everything that the tables hold."""

from pathlib import Path

import pytest

from vllm_lab.sharing.metrics import METRICS
from vllm_lab.sharing.policies import POLICIES
from vllm_lab.traces.formats import EXPORTS, IMPORTS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("page", "table"), [("sharing", METRICS), ("sharing", POLICIES), ("traces", IMPORTS | EXPORTS)]
)
def test_the_page_names_each_row_of_the_table(page, table):
    text = (DOCS / f"{page}.md").read_text()
    assert [name for name in table if f"`{name}`" not in text] == []
