"""The result of a fit: the errors on held-out requests, the document and the tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import permutations
from typing import Any

import numpy as np

from mini_vllm.clock import CostModel, StepLoad
from vllm_lab.common.metric import Metric
from vllm_lab.common.statistics import verification
from vllm_lab.cost_model import fit
from vllm_lab.cost_model.fit import quantiles
from vllm_lab.cost_model.measurements import Measurements, used
from vllm_lab.measure.document import Test, document_of, results_of
from vllm_lab.replay.replay import Outcome

TIMES = {"ttft": "TTFT", "tpot": "TPOT", "e2e": "E2E"}
PREDICTED = TIMES | {"throughput": "output throughput"}
ERRORS = {
    "median": ("median", "median of |prediction / measurement - 1|"),
    "p95": ("95th percentile", "95th percentile of |prediction / measurement - 1|"),
    "bias": ("bias", "median of prediction / measurement - 1; above 0: the prediction is too high"),
}
METRICS = {
    f"{metric}_error_{name}": Metric(
        "fraction",
        f"{formula}, over the held-out requests; a request's measurement is its median over the runs that "
        "count",
        f"Error in {title}, {words}",
    )
    for metric, title in PREDICTED.items()
    for name, (words, formula) in ERRORS.items()
}
TEST = Test(
    id="cost_model",
    name="Cost model of a step, fitted to real vLLM",
    question="How well does a cost model of a step predict the times of requests on real vLLM?",
    method="vLLM runs in one process and every step is timed. The coefficients are fitted by robust least "
    "squares of relative errors. Held-out requests are replayed by real vLLM and, with the coefficients, in "
    "virtual time (mini_vllm v4_prefix).",
    how_obtained="time.perf_counter around LLMEngine.step, on CUDA after torch.cuda.synchronize",
    metrics=METRICS,
    headline="output_throughput",
)
# Columns of the tables, with their types. Times are in s.
LOAD_COLUMNS = {name: "int" for columns in fit.COLUMNS.values() for name in columns if name != "base"}
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
Runs = Sequence[Sequence[Outcome]]  # [runs][requests]


def output_throughput(outcomes: Sequence[Outcome]) -> float:
    """Output tokens per second, from the first arrival to the last token of all requests."""
    start = min(row.arrival for row in outcomes)
    end = max(row.arrival + row.e2e for row in outcomes)
    return sum(row.output_tokens for row in outcomes) / (end - start)


def medians(measured: Runs) -> list[Outcome]:
    """Each request's median TTFT, TPOT and E2E over the runs."""
    return [
        replace(rows[0], **{name: _median([getattr(row, name) for row in rows]) for name in TIMES})
        for rows in zip(*measured, strict=True)
    ]


def _median(values: Sequence[float | None]) -> float | None:
    return None if values[0] is None else float(np.median(values))


def prediction_errors(predicted: Sequence[Outcome], measured: Runs) -> dict[str, dict[str, float]]:
    """For each metric: the relative errors of the prediction against every measured run, pooled."""
    return _errors((predicted, run) for run in measured)


def repetition_errors(measured: Runs) -> dict[str, dict[str, float]]:
    """The same with each measured run as the prediction of every other: the error of a mere repetition."""
    return _errors(permutations(measured, 2))


def _errors(pairs: Iterable[tuple[Sequence[Outcome], Sequence[Outcome]]]) -> dict[str, dict[str, float]]:
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
                    load = fit.step_row(step, measurements.prompts)
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
    prediction = prediction_errors(predicted, [medians(truth)])
    throughputs = [output_throughput(outcomes) for outcomes in truth]
    errors = {
        f"{metric}_error_{name}": value for metric, row in prediction.items() for name, value in row.items()
    }
    return document_of(
        TEST,
        raw,
        environments={"engine": measurements.environment},
        runs=[
            {
                "set": name,
                "run": number,
                "steps": run.num_steps,
                "seconds": run.seconds,
                **asdict(run.disturbance),
                "used": run in used(runs),
            }
            for name, runs in measurements.sets.items()
            for number, run in enumerate(runs)
        ],
        fit={"chosen": fit.CHOSEN, "models": fits},
        step_noise=fit.step_noise(used(measurements.fitted)),
        heldout={
            "requests": len(predicted),
            "prediction": prediction,
            "prediction_of_one_run": prediction_errors(predicted, truth),
            "repetition": repetition_errors(truth),
            "output_throughput": {
                "predicted": output_throughput(predicted),
                "measured": float(np.median(throughputs)),
            },
        },
        results=results_of(METRICS, errors),
        verification=verification("output_throughput", throughputs),
    )
