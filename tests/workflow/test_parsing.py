"""Looking at the workflow changes nothing on the disk."""

import json
import os
import time
from pathlib import Path

import pytest
import yaml

from tests.workflow.conftest import Project, copy_sources
from vllm_lab.common.files import sha256_file
from vllm_lab.provenance.documents import Document, identity_digest
from vllm_lab.provenance.verify import adopt

KEPT = "results/data/rejects.json"
DOCUMENT = "results/data/data_conversations.prov.json"


@pytest.fixture
def clone(tmp_path) -> Project:
    """A fresh clone with one kept result that still fits its document, older than its source."""
    project = copy_sources(tmp_path)
    kept = project.root / KEPT
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps({"kept": True}))
    identity = {
        "rule": "data_conversations", "wildcards": {}, "command": ["python"], "params": {}, "seed": None,
        "kind": "deterministic", "inputs": {"pyproject.toml": sha256_file(project.root / "pyproject.toml")},
        "code": {}, "environment": {}, "outputs": {KEPT: sha256_file(kept)},
    }  # fmt: skip
    Document(DOCUMENT, identity, identity_digest(identity), {}).write(project.root)
    before = time.time() - 3600
    for path in (KEPT, DOCUMENT):
        os.utime(project.root / path, (before, before))
    return project


def tree(root: Path) -> dict[str, tuple[int, str]]:
    """Path -> time (ns) and sha256 of every file, without those of Snakemake and of the test itself."""
    files = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
    return {
        file.as_posix(): ((root / file).stat().st_mtime_ns, sha256_file(root / file))
        for file in files
        if file.parts[0] not in (".snakemake", "settings.yaml")
    }


def test_listing_the_rules_and_a_dry_run_write_nothing(clone):
    before = tree(clone.root)
    quiet = {"PYTHONDONTWRITEBYTECODE": "1"}
    assert "report_render" in clone.snakemake("--list", **quiet).stdout
    clone.snakemake("report", "--dry-run", **quiet)
    assert tree(clone.root) == before


@pytest.mark.parametrize("key", ["device", "plan"])
def test_a_key_that_the_config_file_lacks_is_named_in_one_line(clone, key):
    config = clone.root / "config.yaml"
    kept = {name: value for name, value in yaml.safe_load(config.read_text()).items() if name != key}
    config.write_text(yaml.safe_dump(kept))
    (clone.root / "workflow/presets/small.yaml").write_text("{}")
    said = clone.snakemake("--list", check=False).stdout
    assert f"config: {key}: missing; config.yaml has it in the repository" in said
    assert "Traceback" not in said
    assert "KeyError" not in said


def test_a_plan_without_tests_leaves_a_report_without_its_figures(clone):
    planned = clone.planned("plan: {tests: []}")
    assert "report_render" in planned
    assert "plan_figures" not in planned


def test_adopting_is_a_command_of_its_own_and_leaves_results_alone_that_snakemake_remembers(clone):
    (clone.root / ".snakemake/metadata").mkdir(parents=True)
    (clone.root / ".snakemake/metadata/x").write_text("{}")
    assert adopt(clone.root) == []
    (clone.root / ".snakemake/metadata/x").unlink()
    assert adopt(clone.root) == [DOCUMENT, KEPT]
    assert adopt(clone.root) == []
