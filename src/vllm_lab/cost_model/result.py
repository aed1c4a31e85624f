"""The tables and documents that tell of a calibration, or of why there was none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from mini_vllm.clock import CostModel, StepLoad
from vllm_lab.common.host import hardware
from vllm_lab.common.statistics import verification
from vllm_lab.cost_model import fit, heldout
from vllm_lab.cost_model.measure import Measurements, Run, used
from vllm_lab.replay.records import Outcome
from vllm_lab.replay.requests import TracedRequest

LOAD_COLUMNS = (
    "prefill_tokens",
    "decode_tokens",
    "context_tokens",
    "context_once",
    "decode_context",
    "prefill_context",
)
STEP_COLUMNS = (
    "set",
    "run",
    "used",
    "group",
    "step",
    "start",
    "seconds",
    "predicted_seconds",
    "requests",
    *LOAD_COLUMNS,
)
REQUEST_COLUMNS = (
    "run",
    "used",
    "request_id",
    "arrival",
    "prompt_tokens",
    "output_tokens",
    "cached_tokens",
    "ttft",
    "tpot",
    "e2e",
    "predicted_cached_tokens",
    "predicted_ttft",
    "predicted_tpot",
    "predicted_e2e",
)


def step_table(measurements: Measurements, model: CostModel) -> Iterator[list[Any]]:
    """A row of STEP_COLUMNS for every step that was measured. Times in s."""
    for name, runs in _sets(measurements):
        counting = used(runs)
        for number, run in enumerate(runs):
            for group, measured in enumerate(run.measured):
                for step in measured.steps:
                    scheduled = step.step.scheduled
                    load = fit.step_row(scheduled, step.computed, measured.prompts)
                    predicted = model.seconds(StepLoad(*(load[name] for name in StepLoad._fields)))
                    yield [name, number, int(run in counting), group, step.step.step, step.step.time,
                           step.seconds, predicted, len(scheduled),
                           *(load[column] for column in LOAD_COLUMNS)]  # fmt: skip


def request_table(
    requests: Sequence[TracedRequest], predicted: Sequence[Outcome], runs: Sequence[Run]
) -> Iterator[list[Any]]:
    """A row of REQUEST_COLUMNS for every held-out request and run. Times in s."""
    prompts = {row.request_id: len(row.prompt) for row in requests}
    counting = used(runs)
    for number, run in enumerate(runs):
        for truth, ours in zip(run.measured[0].requests, predicted, strict=True):
            yield [number, int(run in counting), truth.request_id, truth.arrival, prompts[truth.request_id],
                   truth.output_tokens, truth.cached_tokens, truth.ttft, truth.tpot, truth.e2e,
                   ours.cached_tokens, ours.ttft, ours.tpot, ours.e2e]  # fmt: skip


def cost_model_document(model: CostModel, document: dict[str, Any]) -> dict[str, Any]:
    """What --cost-model reads (s), and what it was fitted on."""
    return {
        **model._asdict(),
        "status": "measured",
        "fitted_on": {name: document[name] for name in ("device", "environment", "parameters", "test_date")},
    }


def not_run(parameters: dict[str, Any], device: str, reason: str) -> dict[str, Any]:
    """The document of a calibration that could not be."""
    return _document(parameters, device, "not_run") | {"reason": reason}


def measured(
    parameters: dict[str, Any], measurements: Measurements, predicted: Sequence[Outcome]
) -> dict[str, Any]:
    """The document of a calibration: runs, fits, and the errors on the held-out requests."""
    environment = measurements.environment
    truth = [run.measured[0].requests for run in used(measurements.heldout)]
    prediction = heldout.prediction_errors(predicted, [heldout.medians(truth)])
    throughputs = [heldout.output_throughput(outcomes) for outcomes in truth]
    return _document(parameters, environment["device"], "measured") | {
        "environment": environment,
        "runs": [
            _run(name, number, run, run in used(runs))
            for name, runs in _sets(measurements)
            for number, run in enumerate(runs)
        ],
        "fit": {"chosen": fit.CHOSEN, "models": fits(measurements)},
        "step_noise": fit.step_noise(used(measurements.fitted)),
        "heldout": {
            "requests": len(predicted),
            "prediction": prediction,
            "prediction_of_one_run": heldout.prediction_errors(predicted, truth),
            "repetition": heldout.repetition_errors(truth),
            "output_throughput": {
                "predicted": heldout.output_throughput(predicted),
                "measured": float(np.median(throughputs)),
            },
        },
        "results": {
            f"{metric}_error_{name}": {"value": value, "unit": "fraction"}
            for metric, errors in prediction.items()
            for name, value in errors.items()
        },
        "verification": verification("output_throughput", throughputs),
    }


def fits(measurements: Measurements) -> dict[str, Any]:
    """Coefficients (s) and residuals of every model in fit.COLUMNS."""
    rows, seconds = fit.median_steps(used(measurements.fitted))
    found = {}
    for name, columns in fit.COLUMNS.items():
        loads = fit.matrix(rows, columns)
        coefficients = fit.least_squares(loads, seconds)
        found[name] = {
            "coefficients": dict(zip(columns, coefficients.tolist(), strict=True)),
            "residuals": fit.residuals(rows, seconds, loads @ coefficients),
        }
    return found


def _document(parameters: dict[str, Any], device: str, status: str) -> dict[str, Any]:
    return {
        "test_id": "calibration",
        "test_name": "Cost model of a step, fitted to real vLLM",
        "test_date": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": hardware(),
        "device": device,
        "method": "vLLM in one process, every step timed; coefficients by robust relative least squares; "
        "held-out requests replayed really and in virtual time (mini_vllm v4_prefix)",
        "how_obtained": "time.perf_counter around LLMEngine.step, on CUDA after torch.cuda.synchronize",
        "parameters": parameters,
        "status": status,
        "reason": None,
        "environment": None,
        "runs": [],
        "fit": None,
        "step_noise": None,
        "heldout": None,
        "results": {},
        "verification": None,
    }


def _sets(measurements: Measurements) -> Iterator[tuple[str, list[Run]]]:
    yield "calibration", measurements.fitted
    yield "heldout", measurements.heldout


def _run(name: str, number: int, run: Run, counts: bool) -> dict[str, Any]:
    return {
        "set": name,
        "run": number,
        "steps": run.steps,
        "seconds": run.seconds,
        **asdict(run.disturbance),
        "used": counts,
    }
