"""Replay a trace against vLLM's OpenAI-compatible server at several arrival rates.

In: a trace, a checkpoint and the cost model of a step.
Out: the account (JSON), every request (CSV) and the server's log. Where vLLM is not installed, the device is
not there or the server does not start: the same files, status not_run with the reason.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mini_vllm.clock import read_cost_model
from mini_vllm.limits import Limits
from vllm_lab.common import console
from vllm_lab.common.errors import Unavailable
from vllm_lab.common.files import write_csv, write_json
from vllm_lab.cost_model.measure import at_rate
from vllm_lab.engines.engine import check_device
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.load import result
from vllm_lab.load.measures import LatencyLimits
from vllm_lab.load.server import ServerFailedError, VllmServer
from vllm_lab.load.sweep import sweep
from vllm_lab.measure import prediction
from vllm_lab.measure.workload import choose
from vllm_lab.traces.trace import Trace

WORKLOAD = {"requests": int, "max_prompt_tokens": int, "max_output_tokens": int, "seed": int}
LIMITS = {"num_blocks": int, "block_size": int, "max_num_seqs": int, "max_num_batched_tokens": int}
GOODPUT = {"limit_ttft": float, "limit_tpot": float, "limit_e2e": float}
SWEEP = {"repeats": int, "turn_factor": float, "timeout": float, "startup": float}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trace", type=Path, required=True)
    parser.add_argument("--model-dir", type=Path, required=True, help="the checkpoint's folder")
    parser.add_argument("--cost-model", type=Path, required=True, help="of the rule calibrate")
    parser.add_argument("--device", choices=("cpu", "cuda"), required=True)
    for name, kind in (WORKLOAD | LIMITS | GOODPUT | SWEEP).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, required=True, help=f"load.{name}")
    parser.add_argument("--rates", type=float, nargs="+", required=True, help="load.rates")
    parser.add_argument("--output", type=Path, required=True, help="JSON to write")
    parser.add_argument("--requests-table", type=Path, required=True, help="CSV to write")
    parser.add_argument("--server-log", type=Path, required=True, help="text to write")
    args = parser.parse_args(argv)
    names = ("rates", *(WORKLOAD | LIMITS | GOODPUT | SWEEP))
    parameters = {name: getattr(args, name) for name in names}
    args.server_log.write_text("", encoding="utf-8")
    try:
        serve_and_replay(args, parameters)
    except (Unavailable, ServerFailedError) as missing:
        console.log(f"not run: {missing}")
        write_json(args.output, result.not_run(parameters, args.device, str(missing)))
        write_csv(args.requests_table, result.COLUMNS, [])


def serve_and_replay(args: argparse.Namespace, parameters: dict[str, float]) -> None:
    """Foretell, start, sweep, stop, and write all files."""
    check_device(args.device)  # first: without vLLM the cost model says not_run, too
    limits = Limits(**{name: parameters[name] for name in LIMITS}, clock=read_cost_model(args.cost_model))
    requests = choose(Trace.read(args.trace), *(parameters[name] for name in WORKLOAD))
    predicted = {rate: prediction.scheduled(at_rate(requests, rate), limits) for rate in args.rates}
    settings = EngineSettings(args.model_dir, limits, args.device)
    with VllmServer(settings, args.server_log, args.startup) as server:
        found = sweep(server, requests, args.rates, args.repeats, args.timeout)

    document = result.measured(
        parameters,
        found,
        LatencyLimits(args.limit_ttft, args.limit_tpot, args.limit_e2e),
        args.turn_factor,
        prediction.shared_tokens(requests, limits.block_size),
        predicted,
    )
    write_json(args.output, document)
    write_csv(args.requests_table, result.COLUMNS, result.request_table(found, predicted))
    tell(document)


def tell(document: dict) -> None:
    """The main figures, for the log."""
    for row in document["rates"]:
        metrics, hits = row["metrics"], row["hit_tokens"]
        console.log(
            f"{row['rate']:g} requests/s: "
            + ", ".join(
                f"{name} {metrics[name]:.3g}" for name in result.HEADLINE if metrics[name] is not None
            )
            + f"; hit tokens {hits['measured']}, the scheduler foretells {hits['scheduler']}, the sharing "
            f"analysis {hits['sharing_with_outputs']}"
        )
    console.log(f"latency turns up: {document['turn']}")


if __name__ == "__main__":
    console.run(main)
