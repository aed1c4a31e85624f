"""The small pipeline killed with SIGKILL at random moments, and run again.

VLLM_LAB_KILLS=20 python -m pytest tests/workflow/test_resume.py kills it at twenty moments.
"""

import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.workflow.conftest import Project
from tests.workflow.repeatable import repeatable
from vllm_lab.provenance.verify import verify

pytestmark = pytest.mark.pipeline

KILLS = int(os.environ.get("VLLM_LAB_KILLS", "4"))
# Every kind of rule but those that measure: tables, JSON Lines, figures, simulations, vLLM's scheduler, sums.
TARGETS = [
    "results/sharing/figures/comparison.png",
    "results/traces/multi_turn_trace.jsonl",
    "results/sharing/sweeps/single_turn.csv",
    "results/replay/v4_prefix.multi_turn.scarce.json",
    "results/oracle/vllm_cached.multi_turn.scarce.json",
    "results/traces/summary.json",
]


@pytest.fixture
def fresh(project) -> Project:
    """The project with its downloads, before anything was made of them."""
    project.forget_results()
    return project


def session_of(run: subprocess.Popen[str]) -> list[int]:
    """The processes of a run's session, those whose parents are gone among them."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(ProcessLookupError):
            if os.getsid(int(process.name)) == run.pid:
                found.append(int(process.name))
    return found


def kill_all(run: subprocess.Popen[str]) -> None:
    """SIGKILL to the workflow and all its jobs, as when a machine goes down."""
    while members := session_of(run):
        for process in members:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        run.poll()  # takes the dead leader out of the table


def ended_by(run: subprocess.Popen[str], seconds: float) -> bool:
    """Whether the run ends by itself within the given number of seconds."""
    try:
        run.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def assert_no_document_covers_half_a_file(project: Project) -> None:
    broken = {"changed", "forged", "unreadable", "covered twice"}
    assert [finding for finding in verify(project.root) if finding.kind in broken] == []


def assert_complete(project: Project, finished: Project) -> None:
    """Everything made is what an undisturbed run makes and has its document; nothing else is left."""
    undisturbed, made = repeatable(finished.root), repeatable(project.root)
    assert made.keys() > set(TARGETS)
    assert [path for path in made if made[path] != undisturbed[path]] == []
    assert verify(project.root) == []
    assert list((project.root / "results").rglob("*.partial")) == []


def test_killed_at_random_moments_it_ends_with_the_same_bytes(fresh, finished):
    moments = random.Random(0)
    kills = 0
    while kills < KILLS:
        run = fresh.start(*TARGETS, own_session=True)
        if ended_by(run, moments.uniform(1, 16)):
            assert run.returncode == 0
            assert_complete(fresh, finished)
            fresh.forget_results()
            continue
        kill_all(run)
        kills += 1
        assert_no_document_covers_half_a_file(fresh)
        fresh.snakemake("--unlock")
    fresh.snakemake(*TARGETS)
    assert_complete(fresh, finished)


def test_jobs_end_with_their_workflow_and_the_lock_says_what_to_do(fresh, finished):
    run = fresh.start(*TARGETS, own_session=True)
    log = fresh.root / "results/logs/data_conversations.log"
    while not log.exists():
        assert run.poll() is None, run.communicate()[0]
        time.sleep(0.05)
    time.sleep(0.2)  # into the job
    run.kill()  # the workflow alone, not its jobs
    run.communicate()
    deadline = time.monotonic() + 20
    while left := session_of(run):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    assert "rule data_conversations failed: signal SIGTERM" in log.read_text()
    refused = fresh.snakemake(*TARGETS, check=False)
    assert refused.returncode != 0
    assert "Directory cannot be locked" in refused.stdout
    assert "--unlock" in refused.stdout
    fresh.snakemake("--unlock")
    fresh.snakemake(*TARGETS)
    assert_complete(fresh, finished)
