"""The cost model of a step by least squares, its errors on held-out requests, the document and the tables."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import combinations, permutations
from typing import Any

import numpy as np

from mini_vllm.clock import CostModel, StepLoad, is_decode, kind_of_step
from vllm_lab.common.metric import Metric
from vllm_lab.common.statistics import verification
from vllm_lab.cost_model.measurements import Measurements, Run, TimedStep, used
from vllm_lab.measure.document import Test, document_of, results_of
from vllm_lab.replay.replay import Outcome

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
TIMES = {"ttft": "TTFT", "tpot": "TPOT", "e2e": "E2E"}
PREDICTED = TIMES | {"throughput": "output throughput"}
ERRORS = {
    "median": ("median", "median of |prediction / measurement - 1|"),
    "p95": ("95th percentile", "95th percentile of |prediction / measurement - 1|"),
    "bias": ("bias", "median of prediction / measurement - 1; above 0: the prediction is too high"),
}
TEST = Test(
    id="cost_model",
    name="Cost model of a step, fitted to real vLLM",
    question="How well does a cost model of a step predict the times of requests on real vLLM?",
    method="vLLM runs in one process and every step is timed. The coefficients are fitted by robust least "
    "squares of relative errors. Held-out requests are replayed by real vLLM and, with the coefficients, in "
    "virtual time (mini_vllm v4_prefix).",
    how_obtained="time.perf_counter around LLMEngine.step, on CUDA after torch.cuda.synchronize",
    metrics={
        f"{metric}_error_{name}": Metric(
            "fraction",
            f"{formula}, over the held-out requests; a request's measurement is its median over the runs "
            "that count",
            f"Error in {title}, {words}",
        )
        for metric, title in PREDICTED.items()
        for name, (words, formula) in ERRORS.items()
    },
    headline="output_throughput",
)
# Columns of the tables, with their types. Times are in s.
LOAD_COLUMNS = {name: "int" for columns in COLUMNS.values() for name in columns if name != "base"}
STEP_COLUMNS = {
    "set": "string", "run": "int", "used": "int", "group": "int", "step": "int",
    "start": "float", "seconds": "float", "predicted_seconds": "float",
    "requests": "int", **LOAD_COLUMNS,
}  # fmt: skip
TIME_COLUMNS = {"ttft": "float", "tpot": "float?", "e2e": "float"}
REQUEST_COLUMNS = {
    "run": "int", "used": "int", "request_id": "string", "arrival": "float",
    "prompt_tokens": "int", "output_tokens": "int",
    "cached_tokens": "int", **TIME_COLUMNS,
    "predicted_cached_tokens": "int", **{f"predicted_{name}": kind for name, kind in TIME_COLUMNS.items()},
}  # fmt: skip


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
        loads = np.array([[row[name] for name in columns] for row in rows], dtype=float)
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
            for kind in np.unique(kinds).tolist()
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


def output_throughput(outcomes: Sequence[Outcome]) -> float:
    """Output tokens per second, from the first arrival to the last token of all requests."""
    start = min(row.arrival for row in outcomes)
    end = max(row.arrival + row.e2e for row in outcomes)
    return sum(row.output_tokens for row in outcomes) / (end - start)


def medians(measured: Iterable[Sequence[Outcome]]) -> list[Outcome]:
    """Each request's median TTFT, TPOT and E2E over the runs [runs][requests]."""
    return [
        replace(rows[0], **{name: _median([getattr(row, name) for row in rows]) for name in TIMES})
        for rows in zip(*measured, strict=True)
    ]


def _median(values: Sequence[float | None]) -> float | None:
    return None if values[0] is None else float(np.median(values))


def errors(pairs: Iterable[tuple[Sequence[Outcome], Sequence[Outcome]]]) -> dict[str, dict[str, float]]:
    """ERRORS of each metric, over all pairs of predicted and measured requests together."""
    pooled: dict[str, list[float]] = {name: [] for name in PREDICTED}
    for predicted, measured in pairs:
        for name in TIMES:
            for prediction, measurement in zip(predicted, measured, strict=True):
                truth = getattr(measurement, name)
                if truth is not None:  # a single output token has no TPOT
                    pooled[name].append(getattr(prediction, name) / truth - 1)
        pooled["throughput"].append(output_throughput(predicted) / output_throughput(measured) - 1)
    return {
        name: {**quantiles(np.abs(values)), "bias": float(np.median(values))}
        for name, values in pooled.items()
    }


def step_table(measurements: Measurements, model: CostModel) -> Iterator[list[Any]]:
    """A row of STEP_COLUMNS for every measured step. Times in s."""
    for name, runs in measurements.sets.items():
        counting = used(runs)
        for number, run in enumerate(runs):
            for group, steps in enumerate(run.steps):
                for index, step in enumerate(steps):
                    load = step_row(step, measurements.prompts)
                    predicted = model.seconds(StepLoad(*(load[name] for name in StepLoad._fields)))
                    yield [name, number, int(run in counting), group, index, step.start, step.seconds,
                           predicted, len(step.scheduled),
                           *(load[column] for column in LOAD_COLUMNS)]  # fmt: skip


def request_table(measurements: Measurements, predicted: Sequence[Outcome]) -> Iterator[list[Any]]:
    """A row of REQUEST_COLUMNS for every held-out request and run. Times in s."""
    counting = used(measurements.heldout)
    for number, run in enumerate(measurements.heldout):
        for measured, expected in zip(run.requests, predicted, strict=True):
            yield [number, int(run in counting), measured.request_id, measured.arrival,
                   measurements.prompts[measured.request_id], measured.output_tokens,
                   measured.cached_tokens, measured.ttft, measured.tpot, measured.e2e,
                   expected.cached_tokens, expected.ttft, expected.tpot, expected.e2e]  # fmt: skip


def cost_model_document(model: CostModel, document: Mapping[str, Any]) -> dict[str, Any]:
    """The content of cost_model.json: the coefficients (s) and what they were fitted on."""
    fitted_on = {name: document[name] for name in ("device", "environments", "parameters", "test_date")}
    return {**model._asdict(), "status": "measured", "fitted_on": fitted_on}


def not_run(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The document of a fit without measurements; `raw` is the content of measurements.json."""
    return document_of(TEST, raw, fit=None, step_noise=None, heldout=None)


def measured(
    raw: Mapping[str, Any], measurements: Measurements, fits: Mapping[str, Any], predicted: Sequence[Outcome]
) -> dict[str, Any]:
    """The document of a fit: the runs, the fitted models, and the errors on the held-out requests.

    `raw`: the content of measurements.json. `predicted`: each held-out request in virtual time.
    """
    truth = [run.requests for run in used(measurements.heldout)]
    prediction = errors([(predicted, medians(truth))])
    throughputs = [output_throughput(outcomes) for outcomes in truth]
    found = {
        f"{metric}_error_{name}": value for metric, row in prediction.items() for name, value in row.items()
    }
    return document_of(
        TEST,
        raw,
        environments={"engine": measurements.environment},
        runs=[
            {"set": name, "run": number, "steps": run.num_steps, "seconds": run.seconds}
            | {"used": run in used(runs), **asdict(run.disturbance)}
            for name, runs in measurements.sets.items()
            for number, run in enumerate(runs)
        ],
        fit={"chosen": CHOSEN, "models": fits},
        step_noise=step_noise(used(measurements.fitted)),
        heldout={
            "requests": len(predicted),
            "prediction": prediction,
            "prediction_of_one_run": errors((predicted, outcomes) for outcomes in truth),
            "repetition": errors(permutations(truth, 2)),
            "output_throughput": {
                "predicted": output_throughput(predicted),
                "measured": float(np.median(throughputs)),
            },
        },
        results=results_of(TEST.metrics, found),
        verification=verification(TEST.headline, throughputs),
    )
