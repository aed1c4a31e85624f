"""An experiment's result: the verdicts on its predictions, and how its runs compare.

Every verdict is computed here, never typed.
"""

import operator
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from itertools import zip_longest
from pathlib import Path
from typing import Any

from vllm_lab.common.files import read_json
from vllm_lab.experiments.spec import PARTS, Experiment, Pin, Prediction, Reference, Run, Term, pin_state
from vllm_lab.nsight.metrics import METRICS as CAPTURE_METRICS
from vllm_lab.replay.comparison import compare
from vllm_lab.replay.metrics import COMPARISON_METRICS, METRICS
from vllm_lab.replay.records import StoredRun, events

DIFF_LINES = 20  # of the two event logs, from the first difference on
VERDICTS = ("refuted", "confirmed", "not_run")  # a refuted prediction teaches most and comes first
_METRICS = METRICS | CAPTURE_METRICS | COMPARISON_METRICS
_RELATIONS: dict[str, Callable[[float, float], bool]] = {
    "equal": operator.eq,
    "at most": operator.le,
    "at least": operator.ge,
    "less than": operator.lt,
    "more than": operator.gt,
}


class NotRun(Exception):
    """A number that a prediction names does not exist; the text says why."""


@dataclass(frozen=True)
class Observations:
    """The records of one experiment's runs, comparisons and captures, by name."""

    records: Mapping[str, Mapping[str, Any]]  # runs, as vllm_lab.replay.records writes them
    comparisons: Mapping[str, Mapping[str, Any]]  # of `compare_runs`
    captures: Mapping[str, Mapping[str, Any]]  # documents of stage nsight

    def value(self, reference: Reference) -> float:
        """The number that `reference` names. NotRun where there is none."""
        values = [self._term(term) for term in reference.terms]
        if len(values) == 1:
            return values[0]
        if values[1] == 0:
            raise NotRun(f"{reference.terms[1]} is 0")
        return values[0] / values[1]

    def status(self, prediction: Prediction) -> str:
        """measured if any run behind the prediction's numbers was measured, else simulated."""
        terms = (term for reference in prediction.references for term in reference.terms)
        measured = any(self._document(term)["status"] == "measured" for term in terms)
        return "measured" if measured else "simulated"

    def _document(self, term: Term) -> Mapping[str, Any]:
        """The document that holds the term's number."""
        if term.metric in CAPTURE_METRICS:
            return self.captures[term.source]
        return self.comparisons.get(term.source) or self.records[term.source]

    def _term(self, term: Term) -> float:
        body = self._document(term)
        if body["status"] == "not_run":
            raise NotRun(f"{term.source}: {body['reason']}")
        if term.metric in CAPTURE_METRICS:
            values = {name: found["value"] for name, found in body["results"].items()}
        elif term.priority is not None:
            values = body["metrics_by_priority"].get(term.priority, {})
        else:
            values = body if term.source in self.comparisons else body["metrics"]
        value = values.get(term.metric)
        if value is None:
            absence = "nothing of the kind happened in this run"
            if term.priority is not None:
                absence = f"no request of priority {term.priority} has it"
            raise NotRun(f"{term} has no value: {body.get('absent', {}).get(term.metric) or absence}")
        return value


def judge(prediction: Prediction, seen: Observations) -> dict[str, Any]:
    """The prediction, the observed number, the bound it is compared with, and the verdict."""
    terms = prediction.metric.terms
    unit = "x" if len(terms) > 1 else _METRICS[terms[0].metric].unit  # x: a quotient
    entry = {**vars(prediction), "metric": str(prediction.metric), "unit": unit}
    if isinstance(prediction.value, Reference):
        entry["value"] = str(prediction.value)
    try:
        observed, *others = map(seen.value, prediction.references)
        bound = prediction.times * (others[0] if others else prediction.value)
    except NotRun as error:
        return {**entry, "verdict": "not_run", "reason": str(error), "status": "not_run"}
    if prediction.relation == "within":
        holds = abs(observed - bound) <= prediction.tolerance * abs(bound)
    else:
        holds = _RELATIONS[prediction.relation](observed, bound)
    return {
        **entry,
        "observed": observed,
        "bound": bound,
        "verdict": "confirmed" if holds else "refuted",
        "status": seen.status(prediction),
    }


def verdict_document(
    experiment: Experiment, pins: Sequence[Pin], folder: Path, captures: Path
) -> dict[str, Any]:
    """The result as JSON. `folder` holds the runs' files, `captures` the captures' documents, NAME.RUN.…"""
    runs = {name: StoredRun(folder / f"{experiment.name}.{name}.json") for name in experiment.runs}
    comparisons = {
        name: {**pair, **compare_runs(runs[pair["mini"]], runs[pair["vllm"]])}
        for name, pair in experiment.comparisons.items()
    }
    captured = {
        name: read_json(captures / f"{experiment.name}.{name}.json")
        for name, run in experiment.runs.items()
        if run.is_captured
    }
    seen = Observations({name: run.record for name, run in runs.items()}, comparisons, captured)
    predictions = [judge(prediction, seen) for prediction in experiment.predictions]
    predictions.sort(key=lambda entry: VERDICTS.index(entry["verdict"]))  # else in the file's order
    counts = Counter(entry["verdict"] for entry in predictions)
    return {
        "experiment": experiment.name,
        "title": experiment.title,
        "question": experiment.question,
        "trace": experiment.trace,
        "pin": _pin(experiment, pins),
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
    entry = {"engine": run.engine, "settings": run.settings, "status": record["status"]}
    return {**entry, "reason": record["reason"]} if record["status"] == "not_run" else entry


def _pin(experiment: Experiment, pins: Sequence[Pin]) -> dict[str, Any]:
    own = [pin for pin in pins if pin.experiment == experiment.name]
    return {
        "state": pin_state(pins, experiment),
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
