"""The small pipeline's archive and bundles, from the commands that a person types."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.provenance.crate.validator import failures
from vllm_lab.provenance.verify import verify

pytestmark = pytest.mark.pipeline


def python(project, *words: str) -> str:
    """What a module of the project's own prints when it is run in the project's root."""
    given = {**os.environ, "PYTHONPATH": str(project.root / "src")}
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=project.root, env=given, text=True, check=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    return done.stdout


def test_the_run_s_archive_is_valid_verifies_and_unpacks_to_a_project_with_nothing_to_do(project, tmp_path):
    project.snakemake("archive")
    archive = project.root / "results/provenance/archive.zip"
    assert failures(archive) == []
    assert "every hash fits" in python(project, "vllm_lab.provenance", "verify", str(archive))
    assert verify(project.root) == []
    elsewhere = type(project)(tmp_path / "elsewhere")
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(elsewhere.root / "results")
    with zipfile.ZipFile(elsewhere.root / "results/provenance/source.zip") as source:
        source.extractall(elsewhere.root)
    python(elsewhere, "vllm_lab.provenance", "adopt")
    assert elsewhere.planned() == set()


def test_a_merged_bundle_changes_the_report_and_nothing_else(project, tmp_path):
    """The twin's results are this machine's own: packed, and merged as if they came from another."""
    measured = sorted(path.relative_to(project.root) for path in project.root.glob("results/plan/*/*.json"))
    files = [str(path) for path in measured if not path.name.endswith(".prov.json")]
    files.append("results/load/load.json")
    bundle = str(tmp_path / "twin.zip")
    python(project, "vllm_lab.provenance", "pack", *files, "--output", bundle)
    python(project, "vllm_lab.provenance", "merge", bundle)
    assert project.planned() == {"report_render"}
    project.snakemake("report")
    page = (project.root / "results/report/report.md").read_text()
    section = page[page.index("### Results of other machines") :]
    for test in ("throughput", "latency", "memory", "prefix_cache", "load", "fit"):
        result = next(project.root.glob(f"results/bundles/twin/**/{test}.json"))
        title = json.loads(result.read_text())["test_name"]
        assert re.search(rf"### {re.escape(title)}.*?\| here, .*? \| twin, ", section, re.DOTALL), title
    assert verify(project.root) == []
    (project.root / "results/bundles/twin").joinpath(*Path(files[0]).parts[1:]).write_text("{}")
    (project.root / "results/report/index.html").unlink()
    done = project.snakemake("report", check=False)
    assert done.returncode != 0
    assert "wrote other bytes; delete it and merge bundle twin again" in done.stdout
