"""The coefficients of a step's duration by least squares, and their residuals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from mini_vllm.clock import CostModel, StepLoad, is_decode, kind_of_step
from vllm_lab.cost_model.measurements import Measurements, Run, TimedStep, used

HUBER = 1.345  # residuals of more standard deviations than this count less (Huber 1964: 95 % efficiency)
ROUNDS = 50  # of reweighting; the weights converge in about ten
CHOSEN = "context"
COLUMNS = {
    CHOSEN: ("base", "prefill_tokens", "decode_tokens", "context_tokens"),
    "context once": ("base", "prefill_tokens", "decode_tokens", "context_once"),
    "context of either": ("base", "prefill_tokens", "decode_tokens", "decode_context", "prefill_context"),
}
"""Three linear models of a step. The first is CostModel's: context counts once for each token that attends to
it. The second counts a request's context once per step. The third has one coefficient for the context of
decodes, which memory bounds, and one for the context of prefills, which arithmetic bounds."""


def step_row(step: TimedStep, prompts: Mapping[str, int]) -> dict[str, float]:
    """The load of a step: a value for every column that COLUMNS names. `prompts`: request id -> tokens."""
    after = [step.computed[name] for name in step.scheduled]
    load = StepLoad.of(step.scheduled.values(), after, [prompts[name] for name in step.scheduled])
    decode_context = sum(
        step.computed[name]
        for name, new in step.scheduled.items()
        if is_decode(new, step.computed[name] - new, prompts[name])
    )
    return {
        "base": 1,
        **load._asdict(),
        "context_once": sum(after),
        "decode_context": decode_context,
        "prefill_context": load.context_tokens - decode_context,
    }


def median_steps(
    runs: Sequence[Run], prompts: Mapping[str, int]
) -> tuple[list[dict[str, float]], np.ndarray]:
    """Each step's load, and the median of its durations (s) over the repetitions [steps].

    It is the median because another job on the machine makes some steps of some repetitions ten times longer.
    """
    rows = [step_row(step, prompts) for group in runs[0].steps for step in group]
    return rows, np.median(durations(runs), axis=0)


def durations(runs: Sequence[Run]) -> np.ndarray:
    """Seconds of each step of each repetition [runs, steps]."""
    return np.array([[step.seconds for group in run.steps for step in group] for run in runs])


def matrix(rows: Iterable[dict[str, float]], columns: Sequence[str]) -> np.ndarray:
    """The rows' values of `columns` [steps, columns]."""
    return np.array([[row[name] for name in columns] for row in rows], dtype=float)


def least_squares(loads: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Coefficients >= 0 [columns] for `loads` [steps, columns] and `seconds` [steps].

    The fit minimises relative errors, for two reasons. The model is judged by relative errors of requests, to
    which a decode of 15 ms matters as much as a prefill of 200 ms. And a disturbance multiplies a step's
    duration. Steps with large errors get smaller weights (Huber's), for the same reason as in median_steps.
    """
    relative = loads / seconds[:, None]
    weights = np.ones(len(seconds))
    for _ in range(ROUNDS):
        root = np.sqrt(weights)
        coefficients = _non_negative(relative * root[:, None], root)
        residuals = np.abs(relative @ coefficients - 1)
        deviation = 1.4826 * np.median(residuals)  # the standard deviation of a Gaussian
        weights = np.minimum(1.0, HUBER * deviation / np.maximum(residuals, 1e-12))
    return coefficients


def _non_negative(loads: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The exact solution: the best subset of columns whose least squares has no negative coefficient."""
    columns = loads.shape[1]
    best, least = np.zeros(columns), np.inf
    for size in range(1, columns + 1):
        for chosen in map(list, combinations(range(columns), size)):
            solution = np.linalg.lstsq(loads[:, chosen], target, rcond=None)[0]
            error = np.sum((loads[:, chosen] @ solution - target) ** 2)
            if (solution >= 0).all() and error < least:
                best, least = np.zeros(columns), error
                best[chosen] = solution
    return best


def fits(measurements: Measurements) -> dict[str, Any]:
    """Coefficients (s) and residuals of every model in COLUMNS."""
    rows, seconds = median_steps(used(measurements.fitted), measurements.prompts)
    found = {}
    for name, columns in COLUMNS.items():
        loads = matrix(rows, columns)
        coefficients = least_squares(loads, seconds)
        found[name] = {
            "coefficients": dict(zip(columns, coefficients.tolist(), strict=True)),
            "residuals": residuals(rows, seconds, loads @ coefficients),
        }
    return found


def cost_model(coefficients: dict[str, float]) -> CostModel:
    """The CostModel of the coefficients that COLUMNS[CHOSEN] names (s)."""
    return CostModel(*(coefficients[name] for name in COLUMNS[CHOSEN]))


def residuals(rows: Sequence[dict[str, float]], seconds: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    """R², and the sizes of the residuals of all steps and of each kind of step that occurs."""
    kinds = np.array([kind_of_step(row["prefill_tokens"], row["decode_tokens"]) for row in rows])
    return {
        "r2": float(1 - np.sum((predicted - seconds) ** 2) / np.sum((seconds - seconds.mean()) ** 2)),
        "all": _sizes(seconds, predicted),
        **{
            kind: _sizes(seconds[kinds == kind], predicted[kinds == kind])
            for kind in sorted(set(kinds.tolist()))
        },
    }


def step_noise(runs: Sequence[Run]) -> dict[str, float]:
    """Relative distances of a step's durations from their median: no model of the step can predict these."""
    seconds = durations(runs)
    middle = np.median(seconds, axis=0)
    return quantiles(np.abs(seconds - middle) / middle)


def quantiles(values: np.ndarray) -> dict[str, float]:
    """Median and 95th percentile."""
    return {"median": float(np.median(values)), "p95": float(np.quantile(values, 0.95))}


def _sizes(seconds: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    off = np.abs(predicted - seconds)
    return {"steps": len(seconds), "absolute_s": quantiles(off), "relative": quantiles(off / seconds)}
