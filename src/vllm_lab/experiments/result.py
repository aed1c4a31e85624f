"""An experiment's result: its runs' numbers, the comparisons, and the verdicts on its predictions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from vllm_lab.common.files import read_json
from vllm_lab.experiments import pins
from vllm_lab.experiments.comparisons import compare_runs
from vllm_lab.experiments.pins import Pin
from vllm_lab.experiments.spec import PARTS, Experiment, Run
from vllm_lab.experiments.verdicts import VERDICTS, Observations, judge_all
from vllm_lab.replay.records import StoredRun


def verdict_document(
    experiment: Experiment, all_pins: list[Pin], folder: Path, captures: Path
) -> dict[str, Any]:
    """As JSON; `folder` holds the runs' files, NAME.RUN.json and so on; `captures`: the captures' own."""
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
                name: _told(run, runs[name].record)
                for name, run in experiment.runs.items()
                if run.part == part
            }
            for part in PARTS
        },
        "aha": experiment.aha,
    }


def _told(run: Run, record: dict[str, Any]) -> dict[str, Any]:
    """A run in the document: its record's numbers stay in the record's own file."""
    settings = {**run.settings, **({"profiler": run.profiler} if run.profiler else {})}
    told = {"engine": run.engine, "settings": settings, "status": record["status"]}
    return {**told, "reason": record["reason"]} if record["status"] == "not_run" else told


def _pin(experiment: Experiment, all_pins: list[Pin]) -> dict[str, Any]:
    own = [pin for pin in all_pins if pin.experiment == experiment.name]
    return {
        "state": pins.state(all_pins, experiment),
        "sha256": experiment.digest,
        "day": own[-1].day if own else None,
        "times_pinned": len(own),
    }
