"""Send the requests of a trace to vLLM's OpenAI-compatible server at several arrival rates.

In: a trace and a checkpoint.
Out: the raw measurements (JSON), one entry for every request of every replay, and the server's log.
"""

from typing import Any

from vllm_lab.common import console, files, flags
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.load.measurements import content_of
from vllm_lab.load.sweep import sweep, vllm_server
from vllm_lab.measure.document import raw_document
from vllm_lab.measure.workload import LIMITS, choose, limits_of
from vllm_lab.traces.trace import Trace

WORKLOAD = {"requests": int, "max_prompt_tokens": int, "max_output_tokens": int, "seed": int}
SWEEP = {"repeats": int, "timeout": float, "startup": float}


def main(argv: list[str] | None = None) -> None:
    parser = flags.parser_of(__doc__, trace="the trace", output="JSON to write", server_log="text to write")
    flags.add_model(parser)
    flags.add_settings(parser, WORKLOAD | LIMITS | SWEEP, "load")
    parser.add_argument("--rates", type=float, nargs="+", required=True, help="config: load.rates")
    args = parser.parse_args(argv)
    parameters = {name: getattr(args, name) for name in ("rates", *WORKLOAD, *LIMITS, *SWEEP)}
    requests = choose(
        Trace.read(args.trace), args.requests, args.max_prompt_tokens, args.max_output_tokens, args.seed
    )
    args.server_log.write_text("", encoding="utf-8")
    settings = EngineSettings(args.model_dir, limits_of(parameters), args.device)

    def measure() -> dict[str, Any]:
        with vllm_server(settings, args.server_log, args.startup) as server:
            return content_of(sweep(server, requests, args.rates, args.repeats, args.timeout))

    files.write_json(args.output, raw_document(args.device, parameters, measure))


if __name__ == "__main__":
    console.run(main)
