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
    "sharegpt", "conversations", "model", "tokens", "trace", "sharing", "sweep", "mini", "oracle", "compare",
    "scheduling_figures", "experiment_run", "experiment_real", "experiment_verdict", "calibrate",
    "server_replay", "server_figures", "render", "exports", "mini_imported",
    "bench_code_quality", "bench_basics", "bench_prefix_cache", "bench_figures",
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
    append(project.root / "scripts/sweep_table.py")
    assert "sweep_table" in project.planned()
    assert "trace" not in project.planned()


def append(path: Path) -> None:
    path.write_text(path.read_text() + "\n# changed\n")


@pytest.mark.parametrize(
    ("changed", "rules", "spared"),
    [
        ("scripts/sweep.py", {"sweep"}, {"sharing", "trace", "tokens", "model"}),
        ("scripts/tokens.py", {"tokens"}, {"conversations", "sharegpt", "model", "import_trace"}),
        ("src/vllm_lab/sharing/tables.py", {"sharing"}, {"trace", "tokens", "model", "conversations"}),
        ("src/vllm_lab/data/reader.py", {"conversations"}, {"model", "import_trace"}),
        ("src/vllm_lab/report/html.py", {"render"}, {"sharing", "sweep", "sharing_figures", "tokens"}),
        ("workflow/schemas/sweep.schema.yaml", {"sweep", "sweep_table"}, {"sharing", "trace"}),
        ("envs/core.lock", EVERY_RULE, set()),
        ("src/mini_vllm/v2_lru/scheduler.py", {"mini", "bench_code_quality"}, {"oracle", "sweep", "trace"}),
        ("src/vllm_lab/simulation/compared.py", {"compare"}, {"mini", "oracle"}),
        ("src/vllm_lab/nsight/figures.py", {"nsight_figures"}, {"nsight_capture", "nsight_metrics"}),
        ("src/vllm_lab/tracing/kernels.yaml", {"tracing_kernels"}, {"bench_basics", "calibrate"}),
        (
            VLLM_LOCK,
            {"oracle", "calibrate", "experiment_run", "experiment_real", "server_replay", "bench_basics"},
            {"sharegpt", "conversations", "model", "tokens", "trace", "sharing", "sweep", "mini"},
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
        ("traces: {rate: 3.0}", {"trace"}, {"tokens", "model", "conversations", "import_trace"}),
        ("sharing: {working_set_windows: [30]}", {"sharing"}, {"trace", "sweep", "tokens"}),
        ("sweep: {policies: [lru]}", {"sweep"}, {"sharing", "trace"}),
        ("simulation: {num_blocks: {scarce: 300}}", {"mini", "oracle"}, {"mini_imported", "sweep"}),
        ("simulation: {imported_num_blocks: {scarce: 300}}", {"mini_imported"}, {"mini", "oracle", "sweep"}),
        ("exports: {formats: [vidur]}", {"exports"}, {"trace", "sharing", "mini"}),
        ("bench: {code_quality: [src/mini_vllm]}", {"bench_code_quality"}, {"bench_basics", "mini"}),
        ("tracing: {max_tokens: 4}", {"tracing_calls", "tracing_kernels"}, {"bench_basics", "calibrate"}),
        ("sharegpt: {max_records: 90}", {"conversations"}, {"sharegpt", "model", "import_trace"}),
    ],
)  # fmt: skip
def test_a_changed_setting_reruns_what_depends_on_it(project, setting, rules, spared):
    planned = project.planned(setting)
    assert rules <= planned
    assert not spared & planned


def test_a_changed_command_reruns_its_rule(project):
    rules = project.root / "workflow/rules/sharing.smk"
    rules.write_text(rules.read_text().replace("scripts/sweep.py --trace", "scripts/sweep.py  --trace"))
    planned = project.planned()
    assert "sweep" in planned
    assert "sharing" not in planned


def test_an_edit_that_changes_no_output_ends_with_current_results(project):
    append(project.root / "scripts/trace_summary.py")
    done = project.snakemake("report")
    assert re.search(r"trace_summary\s+1", done.stdout)
    assert project.planned() == set()
    assert verify(project.root) == []
