"""Predict a sweep in virtual time, and compare the prediction with what was measured.

In: the raw measurements of a sweep (JSON) and the cost model of a step.
Out: the result document, and a table (CSV) of every request, measured and predicted.
"""

from collections.abc import Mapping
from dataclasses import replace

from mini_vllm.clock import read_cost_model
from vllm_lab.common import console, files, flags
from vllm_lab.load import result
from vllm_lab.load.measurements import sweep_of
from vllm_lab.measure.workload import at_rate, limits_of
from vllm_lab.oracle import engine

SETTINGS = {"limit_ttft": float, "limit_tpot": float, "limit_e2e": float, "turn_factor": float}


def main(argv: list[str] | None = None) -> None:
    parser = flags.parser_of(
        __doc__,
        sweep="sweep.json",
        cost_model="cost_model.json",
        output="JSON to write",
        requests_table="CSV to write",
    )
    flags.add_settings(parser, SETTINGS, "load")
    args = parser.parse_args(argv)
    raw = files.read_json(args.sweep)
    parameters = {name: getattr(args, name) for name in SETTINGS}
    if raw["status"] == "not_run":
        document, rows = result.not_run(raw, parameters), ()
    else:
        found = sweep_of(raw)
        limits = replace(limits_of(raw["parameters"]), clock=read_cost_model(args.cost_model))
        predicted = {
            rate: engine.run(at_rate(found.workload, rate), limits).requests
            for rate in raw["parameters"]["rates"]
        }
        document = result.measured(raw, parameters, found, predicted)
        rows = result.request_table(found, predicted)
        log(document)
    files.write_json(args.output, document)
    files.write_csv(args.requests_table, result.COLUMNS, rows)


def log(document: Mapping) -> None:
    """Log the main numbers of each rate."""
    for row in document["rates"]:
        values, hits = row["metrics"], row["hit_tokens"]
        numbers = (f"{name} {values[name]:.3g}" for name in result.HEADLINE if values[name] is not None)
        console.log(
            f"{row['rate']:g} requests/s: {', '.join(numbers)}; hit tokens {hits['measured']}, predicted by "
            f"the scheduler {hits['scheduler']}, by the sharing analysis {hits['sharing_with_outputs']}"
        )
    console.log(f"latency turns up: {document['turn']}")


if __name__ == "__main__":
    console.run(main)
