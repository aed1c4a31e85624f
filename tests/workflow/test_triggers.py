"""What triggers a rerun: the table of triggers, row by row, with the rules that depend on what changed."""

import os
import re
import shutil
import time
from pathlib import Path

import pytest

from tests.workflow.rules import making_rules
from vllm_lab.provenance.verify import adopt, verify

pytestmark = pytest.mark.pipeline

VLLM_LOCK = "envs/cuda.lock" if shutil.which("nvidia-smi") else "envs/cpu.lock"
# Rules that cost hours where they are not small: they run the model on real vLLM.
MEASURED = {
    "cost_model_measure", "experiments_real", "load_sweep", "nsight_vllm", "plan_basics", "plan_pair",
    "plan_prefix_cache", "plan_scaling", "tracing_calls", "tracing_kernels",
}  # fmt: skip
DATA = {"data_sharegpt", "data_conversations", "data_model", "traces_tokens", "traces_make"}


@pytest.fixture(scope="module")
def every_rule(finished) -> set[str]:
    """The rules that the report needs, by Snakemake's own account."""
    found = finished.planned("", "--forceall")
    assert making_rules().keys() - found == {"provenance_crate", "provenance_archive"}
    return found


def test_touching_every_source_reruns_nothing(project):
    later = time.time() + 5
    for part in ("scripts", "src", "envs", "workflow", "resources", "config.yaml", "Snakefile"):
        base = project.root / part
        for path in [base, *base.rglob("*")]:
            os.utime(path, (later, later))
    assert project.planned() == set()


@pytest.mark.parametrize(
    "kept", [("results", ".snakemake"), ("results",)], ids=["with .snakemake", "without .snakemake"]
)
def test_a_fresh_clone_beside_kept_results_reruns_nothing(finished, tmp_path, kept):
    sources = shutil.ignore_patterns("results", ".snakemake")
    clone = type(finished)(
        shutil.copytree(finished.root, tmp_path / "clone", ignore=sources, copy_function=shutil.copyfile)
    )
    for part in kept:
        shutil.copytree(finished.root / part, clone.root / part)
    for path in (clone.root / "scripts").iterdir():
        path.touch()
    adopt(clone.root)  # as `make report` does
    assert clone.planned() == set()


def test_without_snakemakes_memory_a_changed_source_is_still_seen(project):
    shutil.rmtree(project.root / ".snakemake")
    append(project.root / "scripts/sharing_sweep_table.py")
    adopt(project.root)
    assert "sharing_sweep_table" in project.planned()
    assert "traces_make" not in project.planned()


def append(path: Path) -> None:
    path.write_text(path.read_text() + "\n# changed\n")


@pytest.mark.parametrize(
    ("changed", "rules", "spared"),
    [
        ("scripts/sharing_sweep.py", {"sharing_sweep"}, {"sharing_analysis", *DATA, *MEASURED}),
        (
            "scripts/traces_tokens.py",
            {"traces_tokens"},
            {"data_conversations", "data_sharegpt", "data_model", "traces_import"},
        ),
        ("src/vllm_lab/sharing/metrics.py", {"sharing_analysis"}, {*DATA, *MEASURED}),
        ("src/vllm_lab/data/reader.py", {"data_conversations"}, {"data_model", "traces_import"}),
        (
            "src/vllm_lab/report/render.py",
            {"report_render"},
            {"sharing_analysis", "sharing_sweep", "sharing_figures", *DATA, *MEASURED},
        ),
        (
            "workflow/schemas/sweep.schema.yaml",
            {"sharing_sweep", "sharing_sweep_table"},
            {"sharing_analysis", *DATA, *MEASURED},
        ),
        (
            "src/mini_vllm/v2_lru/scheduler.py",
            {"replay_mini", "experiments_mini", "nsight_mini", "cost_model_fit", "plan_code_quality"},
            {"oracle_replay", "experiments_oracle", "sharing_sweep", *DATA, *MEASURED},
        ),
        (
            "src/vllm_lab/replay/comparison.py",
            {"replay_compare"},
            {"replay_mini", "oracle_replay", *MEASURED},
        ),
        (
            "src/vllm_lab/nsight/figures.py",
            {"nsight_figures"},
            {"nsight_mini", "nsight_metrics", *MEASURED},
        ),
        ("src/vllm_lab/plan/tests.py", {"plan_figures"}, MEASURED),
        ("src/vllm_lab/cost_model/fit.py", {"cost_model_fit"}, MEASURED),
        ("src/vllm_lab/load/result.py", {"load_predict"}, MEASURED),
        ("src/vllm_lab/tracing/kernels.yaml", {"tracing_kernels"}, {"plan_basics", "cost_model_measure"}),
        (
            VLLM_LOCK,
            {"oracle_replay", "experiments_oracle", *MEASURED},
            {"sharing_analysis", "sharing_sweep", "replay_mini", "experiments_mini", *DATA},
        ),
    ],
)
def test_an_edited_script_module_schema_or_lock_reruns_what_depends_on_it(project, changed, rules, spared):
    append(project.root / changed)
    planned = project.planned()
    assert rules <= planned
    assert not spared & planned


def test_the_lock_of_all_rules_reruns_every_rule_and_a_file_that_no_rule_reads_none(project, every_rule):
    append(project.root / "envs/lock.sh")
    assert project.planned() == set()
    append(project.root / "envs/core.lock")
    assert project.planned() == every_rule


@pytest.mark.parametrize(
    ("setting", "rules", "spared"),
    [
        (
            "traces: {rate: 3.0}",
            {"traces_make"},
            {"traces_tokens", "data_model", "data_conversations", "traces_import"},
        ),
        ("sharing: {working_set_windows: [30]}", {"sharing_analysis"}, {"sharing_sweep", *DATA, *MEASURED}),
        ("sweep: {policies: [lru]}", {"sharing_sweep"}, {"sharing_analysis", *DATA, *MEASURED}),
        (
            "replay: {num_blocks: {scarce: 300}}",
            {"replay_mini", "oracle_replay"},
            {"replay_mini_imported", "sharing_sweep", *MEASURED},
        ),
        (
            "replay: {imported_num_blocks: {scarce: 300}}",
            {"replay_mini_imported"},
            {"replay_mini", "oracle_replay", "sharing_sweep", *MEASURED},
        ),
        (
            "exports: {formats: [vidur]}",
            {"traces_exports"},
            {"sharing_analysis", "replay_mini", *DATA, *MEASURED},
        ),
        ("plan: {code_quality: [src/mini_vllm]}", {"plan_code_quality"}, {"replay_mini", *MEASURED}),
        (
            "tracing: {max_tokens: 4}",
            {"tracing_calls", "tracing_kernels"},
            {"plan_basics", "cost_model_measure"},
        ),
        (
            "sharegpt: {max_records: 90}",
            {"data_conversations"},
            {"data_sharegpt", "data_model", "traces_import"},
        ),
    ],
)
def test_a_changed_setting_reruns_what_depends_on_it(project, setting, rules, spared):
    planned = project.planned(setting)
    assert rules <= planned
    assert not spared & planned


def test_a_changed_command_reruns_its_rule(project):
    rules = project.root / "workflow/rules/sharing.smk"
    changed = rules.read_text().replace(
        '"sharing_sweep",\n            "--trace', '"sharing_sweep",\n            " --trace'
    )
    assert changed != rules.read_text()
    rules.write_text(changed)
    planned = project.planned()
    assert "sharing_sweep" in planned
    assert "sharing_analysis" not in planned


def test_an_edit_that_changes_no_output_ends_with_current_results(project):
    append(project.root / "scripts/traces_summary.py")
    done = project.snakemake("report")
    assert re.search(r"traces_summary\s+1", done.stdout)
    assert project.planned() == set()
    assert verify(project.root) == []
