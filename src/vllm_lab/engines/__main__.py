"""python -m vllm_lab.engines run: a trace through real vLLM in real time."""

import argparse
from collections.abc import Sequence

from vllm_lab.common import console, files
from vllm_lab.common.flags import add_device, add_paths
from vllm_lab.engines.engine import Engine
from vllm_lab.engines.replay import replay
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.replay import flags, records
from vllm_lab.replay.replay import shortened


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and run the command."""
    arguments = _parser().parse_args(argv)
    names = EngineSettings.__dataclass_fields__.keys() & vars(arguments).keys()
    settings = EngineSettings(
        limits=flags.limits_from(arguments), **{name: getattr(arguments, name) for name in names}
    )
    requests = shortened(
        flags.requests_from(arguments),
        arguments.max_prompt_tokens,
        arguments.max_output_tokens,
        arguments.time_scale,
    )
    with Engine(settings) as engine:
        done = replay(engine, requests)
    for refusal in done.refused:
        console.log(f"refused: {refusal.request_id} {refusal.reason}")
    # Each line also has what only a real step has: its seconds, and what it scheduled for each request.
    files.write_text(arguments.steps, "".join(f"{step.line()}\n" for step in done.steps))
    records.write_requests(arguments.requests, done.requests)
    console.log(done.summary())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m vllm_lab.engines", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="run")
    command = commands.add_parser("run", help="replay a trace through real vLLM")
    flags.add_trace(command)
    flags.add_limits(command)
    add_paths(command, model_dir="the checkpoint's folder, such as results/data/model")
    add_device(command)
    command.add_argument("--max-model-len", type=int, default=-1, help="tokens (-1: all that fits)")
    command.add_argument("--enforce-eager", action=argparse.BooleanOptionalAction, default=True)
    command.add_argument("--load-format", choices=("auto", "dummy"), default="auto")
    command.add_argument("--dtype", default="auto")
    command.add_argument("--threads", type=int, help="of torch on the CPU (all cores)")
    command.add_argument("--max-prompt-tokens", type=int, help="leave out requests with longer prompts")
    command.add_argument("--max-output-tokens", type=int, help="cut outputs to so many")
    command.add_argument("--time-scale", type=float, default=1.0, help="arrival times × this (%(default)s)")
    flags.add_outputs(command)
    return parser


if __name__ == "__main__":
    console.run(main)
