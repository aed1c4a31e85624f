"""What a person sees of a run: bars in a terminal on request, plain lines everywhere else."""

import os
import pty
from contextlib import suppress

import pytest

pytestmark = pytest.mark.pipeline

MADE = "results/sharing/multi_turn_stats.json"
SAID = "multi_turn: 124 requests"  # by the job of that rule


def in_a_terminal(project, *arguments: str) -> str:
    """What a run of snakemake writes to a terminal."""
    ours, its = pty.openpty()
    with project.start(*arguments, into=its, TERM="xterm-256color", COLUMNS="100") as run:
        os.close(its)
        shown = b""
        with suppress(OSError):  # the other end was closed
            while piece := os.read(ours, 65536):
                shown += piece
    os.close(ours)
    assert run.returncode == 0, shown.decode()
    return shown.decode()


def log_of(project) -> str:
    return (project.root / "results/logs/sharing_analysis.multi_turn.log").read_text()


def test_the_dashboard_draws_bars_and_jobs_write_to_their_logs_alone(project):
    (project.root / MADE).unlink()
    shown = in_a_terminal(project, MADE, "--logger", "rich")
    assert "Workflow Progress" in shown
    assert "Total Progress" in shown
    assert "100%" in shown
    assert SAID not in shown
    assert SAID in log_of(project)


def test_outside_a_terminal_it_draws_nothing(project):
    (project.root / MADE).unlink()
    text = project.snakemake(MADE, "--logger", "rich").stdout
    assert "\x1b" not in text
    assert text.count("Workflow Progress") <= 1
    assert "Workflow Finished" in text


def test_without_it_the_log_is_plain_lines(project):
    (project.root / MADE).unlink()
    text = project.snakemake(MADE).stdout
    assert "\x1b" not in text
    assert f"[sharing_analysis/multi_turn] {SAID}" in text
    assert "1 of 1 steps (100%) done" in text
