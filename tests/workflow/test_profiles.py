"""What the profiles make of a rule that measures, read from a dry run; no cluster is needed."""

import re

import pytest
import yaml

from tests.workflow.conftest import ROOT, Project, copy_sources

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
    """The project with a rule that takes as many GPUs as its wildcard says.

    Snakemake prints the resources of a job whose rule has no message.
    """
    project = copy_sources(tmp_path_factory.mktemp("profiles"))
    rules = project.root / "workflow/rules/plan.smk"
    rules.write_text(re.sub(r"    message:\n.*\n", "", rules.read_text()) + SCALING)
    return project


def asked_for(
    project: Project,
    profile: str,
    *arguments: str,
    settings: str = "{}",
    target: str = "results/scaling.4.json",
) -> dict[str, str]:
    """Resources of the job that makes the target, which needs no other: here of one on four GPUs."""
    where = ("--profile", f"profiles/{profile}")
    text = project.snakemake(target, "--dry-run", *arguments, settings=settings, where=where).stdout
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


@pytest.mark.parametrize(("gpus", "asked"), [(2, "2"), (64, "8")])
def test_scaling_asks_for_its_largest_number_of_gpus_but_for_no_more_than_a_node_has(sources, gpus, asked):
    target, settings = "results/plan/cuda/strong_scaling.json", f"cluster: {{gpus: {gpus}}}"
    assert asked_for(sources, "slurm", settings=settings, target=target)["gpu"] == asked


def test_a_workstation_has_gpus_to_give(sources):
    assert asked_for(sources, "workstation")["gpu"] == "4"


def test_a_run_ends_at_most_three_seconds_after_its_last_job():
    profile = yaml.safe_load((ROOT / "profiles/default/profile.yaml").read_text())
    assert int(profile["max-jobs-per-timespan"].partition("/")[2].removesuffix("s")) <= 3
