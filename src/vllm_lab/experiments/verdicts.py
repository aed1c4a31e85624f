"""Predictions held against what happened. Every verdict is computed here; none is ever typed."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vllm_lab.experiments.references import Reference, Term
from vllm_lab.experiments.spec import Experiment, Prediction
from vllm_lab.simulation.metrics import METRICS

VERDICTS = ("refuted", "confirmed", "not_run")  # a refuted prediction teaches most and is shown first
COMPARISON_UNITS = {
    "equal_steps": "steps",
    "differing_steps": "steps",
    "first_difference": "step",
    "differing_requests": "requests",
}
_RELATIONS: dict[str, Callable[[float, float], bool]] = {
    "equal": operator.eq,
    "at most": operator.le,
    "at least": operator.ge,
    "less than": operator.lt,
    "more than": operator.gt,
}


class NotRun(Exception):
    """A number that a prediction speaks of does not exist; the text says why."""


@dataclass(frozen=True)
class Observations:
    """What the runs and comparisons of one experiment gave: their records by name."""

    records: Mapping[str, Mapping[str, Any]]  # runs, as simulation.run_file writes them
    comparisons: Mapping[str, Mapping[str, Any]]  # as vllm_lab.experiments.comparisons makes them

    def value(self, reference: Reference) -> float:
        """The number that `reference` names. NotRun where there is none."""
        values = [self._term(term) for term in reference.terms]
        if len(values) == 1:
            return values[0]
        if values[1] == 0:
            raise NotRun(f"{reference.terms[1]} is 0")
        return values[0] / values[1]

    def status(self, reference: Reference) -> str:
        """measured if any run behind it was; else simulated."""
        runs = [self.records.get(term.source, self.comparisons.get(term.source)) for term in reference.terms]
        return "measured" if any(run["status"] == "measured" for run in runs) else "simulated"

    def _term(self, term: Term) -> float:
        if term.source in self.comparisons:
            body = self.comparisons[term.source]
            values = body
        else:
            body = self.records[term.source]
            values = body.get("metrics", {})
            if term.priority is not None:
                values = body.get("metrics_by_priority", {}).get(str(term.priority), {})
        if body["status"] == "not_run":
            raise NotRun(f"{term.source}: {body['reason']}")
        value = values.get(term.metric)
        if value is None:
            raise NotRun(f"{term} has no value: {_absence(term)}")
        return value


def judge(prediction: Prediction, seen: Observations) -> dict[str, Any]:
    """The prediction, what was observed, the bound it was held against, and the verdict."""
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
    """The unit of a metric; of a quotient, x."""
    if len(reference.terms) > 1:
        return "x"
    name = reference.terms[0].metric
    return METRICS[name].unit if name in METRICS else COMPARISON_UNITS[name]


def _holds(prediction: Prediction, observed: float, bound: float) -> bool:
    if prediction.relation == "within":
        return abs(observed - bound) <= prediction.tolerance * abs(bound)
    return _RELATIONS[prediction.relation](observed, bound)


def _absence(term: Term) -> str:
    if term.priority is not None:
        return f"no request of priority {term.priority} has it"
    return "nothing of the kind happened in this run"
