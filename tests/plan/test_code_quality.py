"""radon's counts on code that can be counted by hand."""

from pathlib import Path

import pytest

from vllm_lab.common.errors import LabError
from vllm_lab.common.files import write_json
from vllm_lab.plan.code_quality import count, counts, module
from vllm_lab.provenance.schemas import check

ROOT = Path(__file__).parents[2]
SOURCE = '''"""Two classes, four functions."""


class Outer:
    class Inner:
        def method(self):
            return 1

    def other(self, x):
        if x:
            return [y for y in x if y]
        return 2


def plain():
    def nested():
        return 3

    return nested
'''


def test_counts_by_hand():
    """`other` branches at if, for and if; the others do not."""
    found = counts(SOURCE)
    assert (found["total_loc"], found["class_count"], found["function_count"]) == (19, 2, 4)
    assert found["lines_per_function"] == (2 + 2 + 4 + 5) / 4
    assert found["avg_complexity"] == (1 + 1 + 1 + 4) / 4
    assert found["max_complexity"] == 4


def test_every_version_is_counted_and_the_syntax_tree_agrees(tmp_path):
    paths = [Path(f"src/mini_vllm/{name}") for name in ("v1_naive", "v2_lru", "v3_priority", "v4_prefix")]
    found = count(paths)
    assert all(check["holds"] for check in found["checks"])
    assert {module(path) for path in paths} == {name.rpartition(".")[0] for name in found["results"]}
    for path in paths:
        lines = sum(len(file.read_text().splitlines()) for file in path.rglob("*.py"))
        assert found["results"][f"{module(path)}.total_loc"]["value"] == lines
    write_json(tmp_path / "code_quality.json", found)
    check(tmp_path / "code_quality.json", ROOT / "workflow/schemas/plan.schema.yaml")


def test_a_path_without_code_is_named(tmp_path):
    with pytest.raises(LabError, match=r"nowhere: no Python file; correct plan\.code_quality"):
        count([tmp_path / "nowhere"])
