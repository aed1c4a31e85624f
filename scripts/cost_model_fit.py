"""Fit the cost model of a step to measurements, and test it on requests that were not used in the fit.

In: the raw measurements (JSON).
Out: the cost model (for --cost-model), the result document, and two tables (CSV) of every step and every
held-out request, measured and predicted.
"""

from collections.abc import Mapping
from dataclasses import replace

from mini_vllm.clock import CostModel
from vllm_lab.common import console, files, flags
from vllm_lab.cost_model import fit
from vllm_lab.cost_model.measurements import measurements_of
from vllm_lab.measure.workload import limits_of
from vllm_lab.replay import mini

PREDICTOR = "v4_prefix"  # takes the decisions of vLLM's scheduler


def main(argv: list[str] | None = None) -> None:
    args = flags.parse(
        argv,
        __doc__,
        measurements="measurements.json",
        cost_model="JSON to write",
        output="JSON to write",
        steps="CSV to write",
        heldout="CSV to write",
    )
    raw = files.read_json(args.measurements)
    if raw["status"] == "not_run":
        document, steps, requests = fit.not_run(raw), (), ()
        model_document = {"status": "not_run", "reason": raw["reason"]}
    else:
        measurements = measurements_of(raw)
        fitted = fit.fits(measurements)
        model = fit.cost_model(fitted[fit.CHOSEN]["coefficients"])
        limits = replace(limits_of(raw["parameters"]), clock=model)
        predicted = mini.run(PREDICTOR, measurements.requests, limits).requests
        document = fit.measured(raw, measurements, fitted, predicted)
        model_document = fit.cost_model_document(model, document)
        steps = fit.step_table(measurements, model)
        requests = fit.request_table(measurements, predicted)
        log(model, document)
    files.write_json(args.output, document)
    files.write_json(args.cost_model, model_document)
    files.write_csv(args.steps, fit.STEP_COLUMNS, steps)
    files.write_csv(args.heldout, fit.REQUEST_COLUMNS, requests)


def log(model: CostModel, document: Mapping) -> None:
    """Log the coefficients and the errors."""
    console.log(
        f"cost model (s): {', '.join(f'{name} {value:.3g}' for name, value in model._asdict().items())}"
    )
    for name, errors in document["heldout"]["prediction"].items():
        repeated = document["heldout"]["repetition"][name]
        console.log(
            f"{name}: the prediction's error is {errors['median']:.1%} (median), {errors['p95']:.1%} (95th "
            f"percentile); a repetition's is {repeated['median']:.1%}, {repeated['p95']:.1%}"
        )


if __name__ == "__main__":
    console.run(main)
