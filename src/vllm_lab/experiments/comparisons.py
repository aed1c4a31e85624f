"""The third part of an experiment: mini's steps and requests beside vLLM's."""

from __future__ import annotations

from difflib import unified_diff
from itertools import zip_longest
from typing import Any

from vllm_lab.replay.comparison import compare
from vllm_lab.replay.records import StoredRun, events

DIFF_LINES = 20  # of the two event logs, from where they part


def compare_runs(mini: StoredRun, vllm: StoredRun) -> dict[str, Any]:
    """Counts of equal and differing steps and requests, the first difference, and the logs' first diff lines.

    Where one of the two ran in real time, decisions are compared and times are not.
    """
    absent = next((run for run in (mini, vllm) if not run.ran), None)
    if absent is not None:
        return {"status": "not_run", "reason": f"{absent.name}: {absent.record['reason']}"}
    measured = "measured" in (mini.record["status"], vllm.record["status"])
    found = compare(vllm, mini, timed=not measured)
    first = found.steps.first
    return {
        "status": "measured" if measured else "simulated",
        "times_compared": not measured,
        "equal_steps": found.steps.equal,
        "differing_steps": found.steps.differing,
        "differing_requests": found.requests.differing,
        "first_difference": first.row if first else None,
        "first_difference_in": first.fields if first else [],
        "diff": _first_diff(mini, vllm),
    }


def _first_diff(mini: StoredRun, vllm: StoredRun) -> list[str]:
    """What `diff -u` shows of the event logs where they first part; nothing where they are equal."""
    ours, theirs = (list(events(run.steps)) for run in (mini, vllm))
    start = next((row for row, pair in enumerate(zip_longest(ours, theirs)) if pair[0] != pair[1]), None)
    if start is None:
        return []
    window = slice(max(0, start - 2), start + DIFF_LINES)
    lines = unified_diff(ours[window], theirs[window], fromfile=mini.name, tofile=vllm.name, n=2, lineterm="")
    return list(lines)[: 2 + DIFF_LINES]
