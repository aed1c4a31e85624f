"""What triggers a rerun: the table of triggers, row by row, with the rules that depend on what changed."""

import os
import re
import shutil
import time
from pathlib import Path

import pytest

from vllm_lab.provenance.verify import verify

pytestmark = pytest.mark.pipeline

VLLM_LOCK = "envs/cuda.lock" if shutil.which("nvidia-smi") else "envs/cpu.lock"
EVERY_RULE = {
    "data_sharegpt", "data_conversations", "data_model", "traces_tokens", "traces_make", "sharing_analysis", "sharing_sweep", "replay_mini", "oracle_replay", "replay_compare",
    "replay_figures", "experiments_run", "experiments_real", "experiments_verdict", "cost_model_measure", "cost_model_fit",
    "load_sweep", "load_predict", "load_figures", "report_render", "traces_exports", "replay_mini_imported",
    "plan_code_quality", "plan_basics", "plan_prefix_cache", "plan_figures",
    "nsight_capture", "nsight_metrics", "nsight_figures",
    "tracing_calls", "tracing_kernels",
}  # fmt: skip


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
    assert clone.planned() == set()


def test_without_snakemakes_memory_a_changed_source_is_still_seen(project):
    shutil.rmtree(project.root / ".snakemake")
    append(project.root / "scripts/sharing_sweep_table.py")
    assert "sharing_sweep_table" in project.planned()
    assert "traces_make" not in project.planned()


def append(path: Path) -> None:
    path.write_text(path.read_text() + "\n# changed\n")


@pytest.mark.parametrize(
    ("changed", "rules", "spared"),
    [
        ("scripts/sharing_sweep.py", {"sharing_sweep"}, {"sharing_analysis", "traces_make", "traces_tokens", "data_model"}),
        ("scripts/traces_tokens.py", {"traces_tokens"}, {"data_conversations", "data_sharegpt", "data_model", "traces_import"}),
        ("src/vllm_lab/sharing/tables.py", {"sharing_analysis"}, {"traces_make", "traces_tokens", "data_model", "data_conversations"}),
        ("src/vllm_lab/data/reader.py", {"data_conversations"}, {"data_model", "traces_import"}),
        ("src/vllm_lab/report/html.py", {"report_render"}, {"sharing_analysis", "sharing_sweep", "sharing_figures", "traces_tokens"}),
        ("workflow/schemas/sweep.schema.yaml", {"sharing_sweep", "sharing_sweep_table"}, {"sharing_analysis", "traces_make"}),
        ("envs/core.lock", EVERY_RULE, set()),
        ("src/mini_vllm/v2_lru/scheduler.py", {"replay_mini", "plan_code_quality", "cost_model_fit"}, {"oracle_replay", "sharing_sweep", "traces_make", "cost_model_measure"}),
        ("src/vllm_lab/replay/compared.py", {"replay_compare"}, {"replay_mini", "oracle_replay"}),
        ("src/vllm_lab/nsight/figures.py", {"nsight_figures"}, {"nsight_capture", "nsight_metrics"}),
        ("src/vllm_lab/tracing/kernels.yaml", {"tracing_kernels"}, {"plan_basics", "cost_model_measure"}),
        (
            VLLM_LOCK,
            {"oracle_replay", "cost_model_measure", "experiments_run", "experiments_real", "load_sweep", "plan_basics"},
            {"data_sharegpt", "data_conversations", "data_model", "traces_tokens", "traces_make", "sharing_analysis", "sharing_sweep", "replay_mini"},
        ),
        ("envs/lock.sh", set(), EVERY_RULE),
    ],
)  # fmt: skip
def test_an_edited_script_module_schema_or_lock_reruns_what_depends_on_it(project, changed, rules, spared):
    append(project.root / changed)
    planned = project.planned()
    assert rules <= planned
    assert not spared & planned


@pytest.mark.parametrize(
    ("setting", "rules", "spared"),
    [
        ("traces: {rate: 3.0}", {"traces_make"}, {"traces_tokens", "data_model", "data_conversations", "traces_import"}),
        ("sharing: {working_set_windows: [30]}", {"sharing_analysis"}, {"traces_make", "sharing_sweep", "traces_tokens"}),
        ("sweep: {policies: [lru]}", {"sharing_sweep"}, {"sharing_analysis", "traces_make"}),
        ("simulation: {num_blocks: {scarce: 300}}", {"replay_mini", "oracle_replay"}, {"replay_mini_imported", "sharing_sweep"}),
        ("simulation: {imported_num_blocks: {scarce: 300}}", {"replay_mini_imported"}, {"replay_mini", "oracle_replay", "sharing_sweep"}),
        ("exports: {formats: [vidur]}", {"traces_exports"}, {"traces_make", "sharing_analysis", "replay_mini"}),
        ("bench: {code_quality: [src/mini_vllm]}", {"plan_code_quality"}, {"plan_basics", "replay_mini"}),
        ("tracing: {max_tokens: 4}", {"tracing_calls", "tracing_kernels"}, {"plan_basics", "cost_model_measure"}),
        ("sharegpt: {max_records: 90}", {"data_conversations"}, {"data_sharegpt", "data_model", "traces_import"}),
    ],
)  # fmt: skip
def test_a_changed_setting_reruns_what_depends_on_it(project, setting, rules, spared):
    planned = project.planned(setting)
    assert rules <= planned
    assert not spared & planned


def test_a_changed_command_reruns_its_rule(project):
    rules = project.root / "workflow/rules/sharing.smk"
    rules.write_text(
        rules.read_text().replace("scripts/sharing_sweep.py --trace", "scripts/sharing_sweep.py  --trace")
    )
    planned = project.planned()
    assert "sharing_sweep" in planned
    assert "sharing_analysis" not in planned


def test_an_edit_that_changes_no_output_ends_with_current_results(project):
    append(project.root / "scripts/traces_summary.py")
    done = project.snakemake("report")
    assert re.search(r"trace_summary\s+1", done.stdout)
    assert project.planned() == set()
    assert verify(project.root) == []
