"""Fit the cost model of a step to real vLLM, and try it on requests it has not seen.

In: a trace and a checkpoint.
Out: the cost model (for --cost-model), the account of fit and held-out errors, the steps and the held-out
requests as CSV. Where vLLM is not installed or the device is not there: the same files, status not_run.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mini_vllm.clock import CostModel
from mini_vllm.limits import Limits
from vllm_lab.common import console, host
from vllm_lab.common.errors import Unavailable
from vllm_lab.common.files import write_csv, write_json
from vllm_lab.cost_model import heldout, result
from vllm_lab.cost_model.fit import CHOSEN, cost_model
from vllm_lab.cost_model.measure import measure
from vllm_lab.cost_model.workload import choose
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.traces.trace import Trace

WORKLOAD = {
    "requests": int,
    "heldout_requests": int,
    "rate": float,
    "max_prompt_tokens": int,
    "max_output_tokens": int,
    "seed": int,
}
LIMITS = {"num_blocks": int, "block_size": int, "max_num_seqs": int, "max_num_batched_tokens": int}
REPEATS = {"repeats": int, "retries": int}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trace", type=Path, required=True)
    parser.add_argument("--model-dir", type=Path, required=True, help="the checkpoint's folder")
    parser.add_argument("--device", choices=("cpu", "cuda"), required=True)
    for name, kind in (WORKLOAD | LIMITS | REPEATS).items():
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=kind, required=True, help=f"cost_model.{name}"
        )
    parser.add_argument("--cost-model", type=Path, required=True, help="JSON to write")
    parser.add_argument("--output", type=Path, required=True, help="JSON to write")
    parser.add_argument("--steps", type=Path, required=True, help="CSV to write")
    parser.add_argument("--heldout", type=Path, required=True, help="CSV to write")
    args = parser.parse_args(argv)
    parameters = {name: getattr(args, name) for name in WORKLOAD | LIMITS | REPEATS}
    try:
        calibrate(args, parameters)
    except Unavailable as missing:
        console.log(f"not run: {missing}")
        write_json(args.output, result.not_run(parameters, args.device, str(missing)))
        write_json(args.cost_model, {"status": "not_run", "reason": str(missing)})
        write_csv(args.steps, result.STEP_COLUMNS, [])
        write_csv(args.heldout, result.REQUEST_COLUMNS, [])


def calibrate(args: argparse.Namespace, parameters: dict[str, float]) -> None:
    """Measure, fit, predict, and write all four files."""
    limits = Limits(**{name: parameters[name] for name in LIMITS})
    workload = choose(Trace.read(args.trace), **{name: parameters[name] for name in WORKLOAD})
    settings = EngineSettings(args.model_dir, limits, args.device, threads=host.threads())
    measurements = measure(settings, workload, args.repeats, args.retries)

    model = cost_model(result.fits(measurements)[CHOSEN]["coefficients"])
    predicted = heldout.simulate(workload.heldout, limits, model)
    document = result.measured(parameters, measurements, predicted)
    write_json(args.output, document)
    write_json(args.cost_model, result.cost_model_document(model, document))
    write_csv(args.steps, result.STEP_COLUMNS, result.step_table(measurements, model))
    rows = result.request_table(workload.heldout, predicted, measurements.heldout)
    write_csv(args.heldout, result.REQUEST_COLUMNS, rows)
    tell(model, document)


def tell(model: CostModel, document: dict) -> None:
    """The main figures, for the log."""
    console.log(
        f"cost model (s): {', '.join(f'{name} {value:.3g}' for name, value in model._asdict().items())}"
    )
    for name, errors in document["heldout"]["prediction"].items():
        floor = document["heldout"]["repetition"][name]
        console.log(
            f"{name}: off by {errors['median']:.1%} (median), {errors['p95']:.1%} (95th percentile); "
            f"a repetition by {floor['median']:.1%}, {floor['p95']:.1%}"
        )


if __name__ == "__main__":
    console.run(main)
