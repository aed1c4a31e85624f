"""Results of merged bundles in the report: in columns of their own, and nowhere else."""

import json
import shutil
from pathlib import Path

import pytest

from tests.provenance.bundle.test_bundle import CONFIGURATION, HERE, RESULT, SETTINGS
from tests.report.example import recorded, write_report
from tests.report.project import Project
from vllm_lab.provenance import documents
from vllm_lab.provenance.packing import merge_bundle, pack_bundle


def project(root: Path, device: str, value: float = 2.0, **parameters: int) -> Project:
    """A project with a configuration and one benchmark on a device."""
    made = Project(root, host=f"{device}-node")
    made.job("provenance_configuration", {CONFIGURATION: {**SETTINGS, "device": device}})
    body = recorded("plan/cpu/prefix_cache.json") | {"device": device}
    body["results"]["actual_speedup_ratio"]["value"] = value
    body["parameters"] |= parameters
    wildcards = {"device": device}
    made.job("plan_prefix_cache", {RESULT.format(device): body}, wildcards=wildcards, kind="measured")
    return made


def bundle_of(made: Project) -> Path:
    packed = made.root.with_suffix(".zip")
    pack_bundle(made.root, [RESULT.format("cuda")], packed)
    return packed


@pytest.fixture
def home(tmp_path):
    return project(tmp_path / "home", "cpu").root


@pytest.fixture
def bundle(tmp_path):
    return bundle_of(project(tmp_path / "cluster", "cuda", value=3.5))


def shown(home: Path) -> tuple[str, dict]:
    files = [path for path in documents.collect(home) if path.endswith(".json")]
    folder = write_report(home, files)
    return (folder / "report.md").read_text(), json.loads((folder / "summary.json").read_text())


def test_the_report_shows_each_hardware_in_a_column_of_its_own(home, bundle):
    merge_bundle(home, bundle, "h200")
    page, summary = shown(home)
    assert "Results of other machines" in page
    assert "here, cpu: Test CPU" in page
    assert "h200, cuda: Test CPU" in page
    here, there = (
        summary[f"provenance.{name}.prefix_cache.actual_speedup_ratio"]
        for name in ("plan.cpu", "bundles.h200.plan.cuda")
    )
    assert (here["value"], there["value"]) == (2.0, 3.5)
    assert there["file"] == HERE


def test_a_bundle_s_numbers_enter_no_other_part_of_the_report(home, bundle):
    _, before = shown(home)
    shutil.rmtree(home / "results/report")
    merge_bundle(home, bundle, "h200")
    _, after = shown(home)
    added = {id for id in after if id not in before}
    assert added == {id for id in after if id.startswith("provenance.")}
    assert all(after[id] == before[id] for id in before)
    assert all("bundles" in entry["file"] for id, entry in after.items() if ".bundles." in id)


def test_parameters_that_differ_are_shown(home, tmp_path):
    merge_bundle(home, bundle_of(project(tmp_path / "cluster", "cuda", requests=77)), "h200")
    page, _ = shown(home)
    assert "Parameters that differ" in page
    assert "| `requests` | 10 | 77 |" in page
