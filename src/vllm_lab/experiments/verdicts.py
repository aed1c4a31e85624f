"""Predictions compared with what happened. Every verdict is computed here, never typed."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vllm_lab.experiments.spec import Experiment, Prediction, Reference, Term
from vllm_lab.nsight.metrics import METRICS as CAPTURE_METRICS
from vllm_lab.replay.metrics import COMPARISON_METRICS, METRICS

VERDICTS = ("refuted", "confirmed", "not_run")  # a refuted prediction teaches most and comes first
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

    records: Mapping[str, Mapping[str, Any]]  # runs, as vllm_lab.replay.run_file writes them
    comparisons: Mapping[str, Mapping[str, Any]]  # of `result.compare_runs`
    captures: Mapping[str, Mapping[str, Any]] = field(
        default_factory=dict
    )  # result documents of stage nsight

    def value(self, reference: Reference) -> float:
        """The number that `reference` names. NotRun where there is none."""
        values = [self._term(term) for term in reference.terms]
        if len(values) == 1:
            return values[0]
        if values[1] == 0:
            raise NotRun(f"{reference.terms[1]} is 0")
        return values[0] / values[1]

    def status(self, reference: Reference) -> str:
        """measured if any run behind it was measured, else simulated."""
        found = (self._document(term) for term in reference.terms)
        return "measured" if any(body["status"] == "measured" for body in found) else "simulated"

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
        else:
            values = body if term.source in self.comparisons else body["metrics"]
        if term.priority is not None:
            values = body["metrics_by_priority"].get(str(term.priority), {})
        value = values.get(term.metric)
        if value is None:
            raise NotRun(f"{term} has no value: {body.get('absent', {}).get(term.metric) or _absence(term)}")
        return value


def judge(prediction: Prediction, seen: Observations) -> dict[str, Any]:
    """The prediction, the observed number, the bound it is compared with, and the verdict."""
    entry = {
        "id": prediction.id,
        "statement": prediction.statement,
        "why": prediction.why,
        "metric": str(prediction.metric),
        "unit": unit(prediction.metric),
        "relation": prediction.relation,
        "value": prediction.value if isinstance(prediction.value, int | float) else str(prediction.value),
        "times": prediction.times,
        "tolerance": prediction.tolerance,
    }
    try:
        observed = seen.value(prediction.metric)
        against = prediction.value
        bound = prediction.times * (against if isinstance(against, int | float) else seen.value(against))
    except NotRun as error:
        return {**entry, "verdict": "not_run", "reason": str(error), "status": "not_run"}
    holds = _holds(prediction, observed, bound)
    references = [part for part in (prediction.metric, prediction.value) if isinstance(part, Reference)]
    return {
        **entry,
        "observed": observed,
        "bound": bound,
        "verdict": "confirmed" if holds else "refuted",
        "status": "measured" if "measured" in map(seen.status, references) else "simulated",
    }


def judge_all(experiment: Experiment, seen: Observations) -> list[dict[str, Any]]:
    """All predictions judged: the refuted ones first, else in the file's order."""
    judged = [judge(prediction, seen) for prediction in experiment.predictions]
    return sorted(judged, key=lambda entry: VERDICTS.index(entry["verdict"]))


def unit(reference: Reference) -> str:
    """The unit of a metric. A quotient has the unit x."""
    if len(reference.terms) > 1:
        return "x"
    name = reference.terms[0].metric
    return (METRICS | CAPTURE_METRICS | COMPARISON_METRICS)[name].unit


def _holds(prediction: Prediction, observed: float, bound: float) -> bool:
    if prediction.relation == "within":
        return abs(observed - bound) <= prediction.tolerance * abs(bound)
    return _RELATIONS[prediction.relation](observed, bound)


def _absence(term: Term) -> str:
    if term.priority is not None:
        return f"no request of priority {term.priority} has it"
    return "nothing of the kind happened in this run"
