"""What the profiles make of a rule that measures, read from a dry run; no cluster is needed."""

import re

import pytest

from tests.workflow.conftest import Project, copy_sources

SCALING = """

rule scaling:
    output:
        "results/scaling.{gpus}.json",
    threads: ALL_CORES
    resources:
        **measured(gpus=lambda wildcards: int(wildcards.gpus)),
    shell:
        "touch {output}"
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Project:
    """The project with a rule that takes as many GPUs as its wildcard says."""
    project = copy_sources(tmp_path_factory.mktemp("profiles"))
    with (project.root / "workflow/rules/bench.smk").open("a") as rules:
        rules.write(SCALING)
    return project


def asked_for(project: Project, profile: str, *arguments: str, settings: str = "{}") -> dict[str, str]:
    """Resources of a job on four GPUs."""
    text = project.snakemake(
        "results/scaling.4.json", "--dry-run", *arguments,
        settings=settings, where=("--profile", f"profiles/{profile}"),
    ).stdout  # fmt: skip
    resources = re.search(r"^    resources: (.*)$", text, re.MULTILINE)[1]
    return dict(pair.split("=", 1) for pair in resources.split(", "))


def test_on_slurm_it_asks_for_its_gpus_a_node_to_itself_and_what_the_config_says(sources):
    asked = asked_for(sources, "slurm", settings="cluster: {gpu_model: h100, mem_mb: 90000, runtime: 30}")
    assert (asked["gpu"], asked["gpu_model"], asked["slurm_extra"]) == ("4", "h100", "--exclusive")
    assert (asked["mem_mb"], asked["runtime"]) == ("90000", "30")


def test_a_shared_node_and_any_gpu_can_be_asked_for(sources):
    asked = asked_for(sources, "slurm", settings="cluster: {exclusive: false}")
    assert asked["gpu"] == "4"
    assert not {"slurm_extra", "gpu_model"} & asked.keys()


def test_without_gpus_none_is_asked_for(sources):
    assert "gpu" not in asked_for(sources, "slurm", "--config", "device=cpu")


def test_a_workstation_has_gpus_to_give(sources):
    assert asked_for(sources, "workstation")["gpu"] == "4"
