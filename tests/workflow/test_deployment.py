"""Conda and containers as Snakemake asks for them; stand-ins take the calls: the real ones need a network."""

import os
from pathlib import Path

import pytest

from vllm_lab.provenance import documents

pytestmark = pytest.mark.pipeline

ROOT = Path(__file__).parents[2]
CONDA = """\
#!/bin/sh
case "$1" in
  info) echo '{"conda_prefix": "/opt/conda", "conda_version": "25.1.0", "platform": "linux-64"}' ;;
  config) echo '{"get": {"channel_priority": "strict"}}' ;;
  *) echo conda 25.1.0 ;;
esac
"""
# Runs here what it is to run in the container, and writes down how it was called.
APPTAINER = """\
#!/bin/bash
[ "$1" = --version ] && { echo apptainer version 1.3.4; exit; }
echo "$*" >>"${0%/*}/calls"
exec bash -c "${!#}"
"""
GPU = "results/plan/cuda/throughput.json"
CPU = "results/sharing/multi_turn_stats.json"


@pytest.fixture
def stand_ins(tmp_path) -> Path:
    """A folder for the head of PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in {"conda": CONDA, "apptainer": APPTAINER}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def path_with(folder: Path) -> str:
    return os.pathsep.join([str(folder), *os.get_exec_path()])


def test_conda_makes_the_environment_of_each_kind_of_rule(project, stand_ins):
    for target in (CPU, GPU):
        (project.root / target).unlink(missing_ok=True)
    plan = project.snakemake(
        CPU, GPU, "--dry-run", "--sdm", "conda", settings="device: cuda", PATH=path_with(stand_ins)
    ).stdout
    assert "Conda environment envs/core.yaml will be created." in plan
    assert "Conda environment envs/cuda.yaml will be created." in plan
    assert "envs/cpu.yaml" not in plan


@pytest.mark.parametrize("name", ["core", "cpu", "cuda"])
def test_each_conda_environment_installs_its_lock(name):
    assert f"-r envs/{name}.lock" in (ROOT / f"envs/{name}.post-deploy.sh").read_text()
    assert (ROOT / f"envs/{name}.yaml").read_text().count("python=3.11") == 1


def test_rules_that_run_vllm_on_a_gpu_run_in_its_container_and_others_do_not(project, stand_ins):
    (project.root / CPU).unlink()
    project.snakemake(
        CPU,
        GPU,
        "--sdm",
        "apptainer",
        "--apptainer-args=--nv",
        settings="device: cuda",
        PATH=path_with(stand_ins),
    )
    (call,) = (stand_ins / "calls").read_text().splitlines()
    assert f"exec --home {project.root} --nv" in call
    assert "envs/cuda.sif bash -c" in call
    assert "python -m vllm_lab.provenance run" in call
    assert "scripts/plan_basics.py" in call
    made = documents.collect(project.root)
    assert made[GPU].identity["environment"].keys() == {"envs/core.lock", "envs/cuda.lock"}


def test_the_container_is_the_release_of_vllm_that_the_lock_has():
    lock = (ROOT / "envs/cuda.lock").read_text()
    version = lock[lock.index("\nvllm==") :].split()[0].removeprefix("vllm==")
    recipe = (ROOT / "envs/cuda.def").read_text()
    assert f"From: vllm/vllm-openai:v{version}\n" in recipe
    assert f"vllm.__version__ == '{version}'" in recipe
