"""How verdicts, expectations and pins are put in words, in the report and in PROGRESS.md alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vllm_lab.common.display import display

DECIMALS = {"s": 4, "x": 2}
PINS = {
    "pinned": "the predictions are those that were pinned before the run",
    "changed": "the predictions were changed after they were pinned: the verdicts prove nothing",
    "unpinned": "the predictions were never pinned: nobody can tell that they are older than the run",
}


def shown(value: float, unit: str) -> str:
    """A number as people read it; short times and quotients with the digits that tell two of them apart."""
    return display(value, unit, DECIMALS.get(unit) if abs(value) < 10 else None)


def expectation(prediction: Mapping[str, Any]) -> str:
    """What the metric was expected to be, as text: "at most 0.1 × fcfs.ttft_p95"."""
    value, times = prediction["value"], prediction["times"]
    if not isinstance(value, str):
        value = shown(times * value, prediction["unit"])
    elif times != 1:
        value = f"{times:g} × {value}"
    if prediction["relation"] == "within":
        return f"within {100 * prediction['tolerance']:g} % of {value}"
    return f"{prediction['relation']} {value}"


def verdict(name: str) -> str:
    """The verdict as people read it."""
    return name.replace("_", " ")


def counts(verdicts: Mapping[str, int]) -> str:
    """2 refuted, 5 confirmed, 0 not run: those there are."""
    return ", ".join(f"{count} {verdict(name)}" for name, count in verdicts.items() if count)


def label(experiment: str) -> str:
    """exp001 as EXP-001; other names as they are."""
    number = experiment.removeprefix("exp")
    return f"EXP-{number}" if number.isdigit() else experiment
