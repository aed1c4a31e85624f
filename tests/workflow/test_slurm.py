"""Part of the small pipeline on a real Slurm of one node, through profiles/slurm as it is."""

import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.workflow.conftest import Project, copy_of
from tests.workflow.repeatable import repeatable
from tests.workflow.single_node import NODE, Slurm, missing, single_node
from vllm_lab.provenance import documents
from vllm_lab.provenance.verify import verify

pytestmark = [
    pytest.mark.pipeline,
    pytest.mark.skipif(missing() is not None, reason=f"Slurm: {missing()}"),
]

# Rules on the cluster, and on the device `cuda` of the profile: without a GPU that one ends `not_run`.
TARGETS = [
    "results/sharing/multi_turn_stats.json",
    "results/replay/v4_prefix.multi_turn.scarce.json",
    "results/traces/summary.json",
]
GPU_TARGET = "results/plan/cuda/throughput.json"


@dataclass(frozen=True)
class Story:
    """What happened: a run whose job `traces_tokens` was killed, then a second run."""

    project: Project
    folder: Path  # the Slurm's own, now gone
    killed_job: str  # its id
    first: subprocess.CompletedProcess[str]
    left_by_the_killed: list[str]
    second: subprocess.CompletedProcess[str]
    jobs: dict[str, dict[str, str]]  # job id -> what Slurm knows of it
    queue: str


@pytest.fixture(scope="module")
def story(finished, tmp_path_factory) -> Story:
    project = copy_of(finished, tmp_path_factory.mktemp("slurm") / "project")
    project.forget_results("results/traces/mooncake", "results/traces/traces_import")
    with single_node() as slurm:
        run = start(project, slurm, *TARGETS[:1], GPU_TARGET)
        killed = kill_when_it_runs("traces_tokens", project, slurm, run)
        first = ended(run)
        left = sorted(path.name for path in (project.root / "results/traces").glob("streams*"))
        second = ended(start(project, slurm, *TARGETS, GPU_TARGET))
        jobs = slurm.jobs()
        queue = slurm.ask("squeue", "--noheader")
    return Story(project, slurm.folder, killed, first, left, second, jobs, queue)


def start(project: Project, slurm: Slurm, *targets: str) -> subprocess.Popen[str]:
    """Start the workflow through the profile; only the seconds to the first look are fewer."""
    looks = ("--slurm-init-seconds-before-status-checks", "2")
    return project.start(*targets, *looks, where=("--profile", "profiles/slurm"), **slurm.environment)


def ended(run: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    try:
        text, _ = run.communicate(timeout=170)
    finally:
        run.kill()
    return subprocess.CompletedProcess(run.args, run.returncode, text)


def kill_when_it_runs(rule: str, project: Project, slurm: Slurm, run: subprocess.Popen[str]) -> str:
    """Cancel the rule's job once its script runs, which the rule's log shows. Returns the job's id."""
    log = project.root / f"results/logs/{rule}.log"
    while not log.exists():
        assert run.poll() is None, run.communicate()[0]
        time.sleep(0.05)
    (job,) = jobs_of(rule, slurm.jobs())
    slurm.ask("scancel", job["JobId"])
    return job["JobId"]


def jobs_of(rule: str, jobs: dict[str, dict[str, str]]) -> list[dict[str, str]]:
    return [job for job in jobs.values() if re.fullmatch(rf"rule_{rule}(_wildcards_.*)?", job["Comment"])]


def test_rules_ran_under_slurm_with_what_they_ask_for_and_light_ones_did_not(story):
    ran = {job["Comment"].removeprefix("rule_").split("_wildcards_")[0] for job in story.jobs.values()}
    assert ran == {
        "data_conversations",
        "traces_tokens",
        "traces_make",
        "sharing_analysis",
        "replay_mini",
        "plan_basics",
    }
    assert "traces_summary" in story.second.stdout  # here, on what is the login node
    (light,) = jobs_of("data_conversations", story.jobs)
    assert light["Partition"] == "cpu"
    assert light["TRES"].startswith("cpu=1,mem=16000M,node=1")
    assert light["TimeLimit"] == "01:00:00"
    assert "TresPerJob" not in light
    many = jobs_of("traces_tokens", story.jobs)[-1]
    assert many["TRES"].startswith("cpu=16,mem=16000M,node=1")


def test_a_rule_that_measures_got_a_gpu_and_the_node_to_itself(story):
    (job,) = jobs_of("plan_basics", story.jobs)
    assert job["JobState"] == "COMPLETED"
    assert job["Partition"] == "gpu"
    assert job["TresPerJob"] == "gres:gpu:1"
    assert job["CPUs/Task"] == "16"
    assert (job["NumCPUs"], job["OverSubscribe"]) == ("64", "NO")  # of 64: all of them
    assert job["TimeLimit"] == "02:00:00"
    assert '"status": "not_run"' in (story.project.root / GPU_TARGET).read_text()


def test_a_killed_job_fails_with_a_message_and_leaves_nothing_half_written(story):
    assert story.first.returncode != 0
    assert f"SLURM-job '{story.killed_job}' failed, SLURM status is: 'CANCELLED'" in story.first.stdout
    assert f"rule_traces_tokens/{story.killed_job}.log" in story.first.stdout
    assert story.left_by_the_killed == []
    assert story.jobs[story.killed_job]["JobState"] == "CANCELLED"


def test_the_rerun_completes_what_was_left_and_repeats_nothing(story):
    assert story.second.returncode == 0, story.second.stdout[-6000:]
    assert [job["JobState"] for job in jobs_of("traces_tokens", story.jobs)] == ["CANCELLED", "COMPLETED"]
    assert len(jobs_of("data_conversations", story.jobs)) == len(jobs_of("plan_basics", story.jobs)) == 1


def test_results_and_identities_are_those_of_the_local_run(story, finished):
    local, there = repeatable(finished.root), repeatable(story.project.root)
    assert there.keys() > set(TARGETS)
    assert [path for path in there if there[path] != local[path]] == []
    identities = documents.collect(finished.root)
    for path, document in documents.collect(story.project.root).items():
        assert path.startswith("results/plan/") or document.digest == identities[path].digest


def test_the_documents_name_the_node_and_the_job(story):
    clusters = {}
    for document in documents.collect(story.project.root).values():
        clusters[document.identity["rule"]] = document.run["cluster"]
    for rule in ("data_conversations", "traces_tokens", "plan_basics"):
        cluster = clusters[rule]
        assert cluster["slurm_node"] == NODE
        assert story.jobs[cluster["slurm_job_id"]] in jobs_of(rule, story.jobs)
    assert clusters["plan_basics"]["slurm_partition"] == "gpu"
    assert clusters["plan_basics"]["slurm_gpus"] == "0"  # the first of the node's
    assert clusters["traces_summary"] == clusters["data_model"] == {}


def test_every_job_has_a_log_of_its_own(story):
    logs = story.project.root / "results/logs/slurm"
    assert {path.stem for path in logs.rglob("*.log")} == story.jobs.keys()
    assert "Tokenising every conversation once" in next(logs.glob("rule_traces_tokens/*.log")).read_text()


def test_what_slurm_made_verifies(story):
    findings = verify(story.project.root, [*TARGETS, GPU_TARGET])
    assert findings == []


def test_nothing_is_left_running(story):
    assert story.queue == ""
    left = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            known = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(story.folder) in known:
            left.append((process / "cmdline").read_bytes())
    assert left == []
