"""An experiment's result: the verdicts on its predictions, and how its runs compare."""

from __future__ import annotations

from collections import Counter
from difflib import unified_diff
from itertools import zip_longest
from pathlib import Path
from typing import Any

from vllm_lab.common.files import read_json
from vllm_lab.experiments import pins
from vllm_lab.experiments.pins import Pin
from vllm_lab.experiments.spec import PARTS, Experiment, Run
from vllm_lab.experiments.verdicts import VERDICTS, Observations, judge_all
from vllm_lab.replay.comparison import compare
from vllm_lab.replay.records import StoredRun, events

DIFF_LINES = 20  # of the two event logs, from the first difference on


def verdict_document(
    experiment: Experiment, all_pins: list[Pin], folder: Path, captures: Path
) -> dict[str, Any]:
    """The result as JSON. `folder` holds the runs' files, `captures` the captures' documents, NAME.RUN.…"""
    runs = {name: StoredRun(folder / f"{experiment.name}.{name}.json") for name in experiment.runs}
    comparisons = {
        name: {"mini": mini, "vllm": vllm, **compare_runs(runs[mini], runs[vllm])}
        for name, (mini, vllm) in experiment.comparisons.items()
    }
    captured = {
        name: read_json(captures / f"{experiment.name}.{name}.json")
        for name, run in experiment.runs.items()
        if run.is_captured
    }
    seen = Observations({name: run.record for name, run in runs.items()}, comparisons, captured)
    predictions = judge_all(experiment, seen)
    counts = Counter(entry["verdict"] for entry in predictions)
    return {
        "experiment": experiment.name,
        "title": experiment.title,
        "question": experiment.question,
        "trace": experiment.trace,
        "pin": _pin(experiment, all_pins),
        "verdicts": {verdict: counts[verdict] for verdict in VERDICTS},
        "predictions": predictions,
        "comparisons": comparisons,
        "parts": {
            part: {
                name: _run_entry(run, runs[name].record)
                for name, run in experiment.runs.items()
                if run.part == part
            }
            for part in PARTS
        },
        "aha": experiment.aha,
    }


def _run_entry(run: Run, record: dict[str, Any]) -> dict[str, Any]:
    """A run in the document. Its numbers stay in the file of its record."""
    settings = {**run.settings, **({"profiler": run.profiler} if run.profiler else {})}
    entry = {"engine": run.engine, "settings": settings, "status": record["status"]}
    return {**entry, "reason": record["reason"]} if record["status"] == "not_run" else entry


def _pin(experiment: Experiment, all_pins: list[Pin]) -> dict[str, Any]:
    own = [pin for pin in all_pins if pin.experiment == experiment.name]
    return {
        "state": pins.state(all_pins, experiment),
        "sha256": experiment.digest,
        "day": own[-1].day if own else None,
        "times_pinned": len(own),
    }


def compare_runs(mini: StoredRun, vllm: StoredRun) -> dict[str, Any]:
    """COMPARISON_METRICS, which fields differ first, and the first lines of a diff of the event logs.

    Where one of the two ran in real time, only decisions are compared, not times.
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
    """What `diff -u` shows of the event logs at their first difference; nothing where they are equal."""
    minis, vllms = (list(events(run.steps)) for run in (mini, vllm))
    start = next((row for row, pair in enumerate(zip_longest(minis, vllms)) if pair[0] != pair[1]), None)
    if start is None:
        return []
    window = slice(max(0, start - 2), start + DIFF_LINES)
    lines = unified_diff(minis[window], vllms[window], fromfile=mini.name, tofile=vllm.name, n=2, lineterm="")
    return list(lines)[: 2 + DIFF_LINES]
