"""The third part of an experiment: mini's steps and requests beside vLLM's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import unified_diff
from itertools import zip_longest
from pathlib import Path
from typing import Any

from vllm_lab.oracle.comparison import compare
from vllm_lab.oracle.records import read_result
from vllm_lab.simulation.events import events

DIFF_LINES = 20  # of the two event logs, from where they part


@dataclass(frozen=True)
class RunPaths:
    """One run's files."""

    name: str
    record: Mapping[str, Any]
    steps: Path
    requests: Path


def compare_runs(mini: RunPaths, vllm: RunPaths) -> dict[str, Any]:
    """Counts of equal and differing steps and requests, the first difference, and the logs' first diff lines.

    Where one of the two ran in real time, decisions are compared and times are not.
    """
    pair = {"mini": mini.name, "vllm": vllm.name}
    absent = next((run for run in (mini, vllm) if run.record["status"] == "not_run"), None)
    if absent is not None:
        return {**pair, "status": "not_run", "reason": f"{absent.name}: {absent.record['reason']}"}
    measured = "measured" in (mini.record["status"], vllm.record["status"])
    ours, theirs = (read_result(run.steps, run.requests) for run in (mini, vllm))
    found = compare(theirs, ours, timed=not measured)
    return {
        **pair,
        "status": "measured" if measured else "simulated",
        "times_compared": not measured,
        "equal_steps": found.equal_steps,
        "differing_steps": found.differing_steps,
        "differing_requests": found.differing_requests,
        "first_difference": found.first_step,
        "first_difference_in": found.first.fields if found.first else [],
        "diff": _first_diff(mini.name, list(events(ours.steps)), vllm.name, list(events(theirs.steps))),
    }


def _first_diff(mini: str, ours: list[str], vllm: str, theirs: list[str]) -> list[str]:
    """What `diff -u` shows of the event logs where they first part; nothing where they are equal."""
    start = next((row for row, pair in enumerate(zip_longest(ours, theirs)) if pair[0] != pair[1]), None)
    if start is None:
        return []
    window = slice(max(0, start - 2), start + DIFF_LINES)
    lines = unified_diff(ours[window], theirs[window], fromfile=mini, tofile=vllm, n=2, lineterm="")
    return list(lines)[: 2 + DIFF_LINES]
