"""Measure what the steps of real vLLM cost on this machine.

In: a trace and a checkpoint.
Out: the raw measurements (JSON): every step and every held-out request of every run.
"""

from typing import Any

from vllm_lab.common import console, files, flags, host
from vllm_lab.cost_model.measure import choose, measure
from vllm_lab.cost_model.measurements import content_of
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.measure.document import raw_document
from vllm_lab.measure.workload import LIMITS, limits_of
from vllm_lab.traces.trace import Trace

WORKLOAD = {
    "requests": int,
    "heldout_requests": int,
    "rate": float,
    "max_prompt_tokens": int,
    "max_output_tokens": int,
    "seed": int,
}
REPEATS = {"repeats": int, "retries": int}


def main(argv: list[str] | None = None) -> None:
    parser = flags.parser_of(__doc__, trace="the trace", output="JSON to write")
    flags.add_model(parser)
    flags.add_settings(parser, WORKLOAD | LIMITS | REPEATS, "cost_model")
    args = parser.parse_args(argv)
    parameters = {name: getattr(args, name) for name in WORKLOAD | LIMITS | REPEATS}
    workload = choose(Trace.read(args.trace), **{name: parameters[name] for name in WORKLOAD})
    settings = EngineSettings(args.model_dir, limits_of(parameters), args.device, threads=host.threads())

    def measured() -> dict[str, Any]:
        return content_of(measure(settings, workload, args.repeats, args.retries))

    files.write_json(args.output, raw_document(args.device, parameters, measured))


if __name__ == "__main__":
    console.run(main)
