"""`mini-vllm run` replays a trace and prints a summary; it writes steps (JSON Lines) and requests (CSV) on
demand. `mini-vllm explain` follows one request. The flags are those of `python -m vllm_lab.oracle`."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import numpy as np

from mini_vllm.clock import DEFAULT_CLOCK, parse_clock, read_cost_model
from mini_vllm.errors import MiniError, OutOfBlocks
from mini_vllm.limits import Limits
from mini_vllm.request import Request
from mini_vllm.tools import engines
from mini_vllm.tools.explain import explain
from mini_vllm.tools.records import COLUMNS, lines, outcome, whole_file, write_requests
from mini_vllm.tools.trace import read_trace
from mini_vllm.tools.versions import VERSIONS
from mini_vllm.v1_naive.engine import Engine


def main(argv: Sequence[str] | None = None) -> None:
    """Parse and run; a MiniError ends the process with status 1 and one line."""
    try:
        args = parser().parse_args(argv)
        args.command(args)
        sys.stdout.flush()
    except MiniError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except BrokenPipeError:  # the reader has seen enough (… | head); nothing is left to flush at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parser() -> argparse.ArgumentParser:
    """All flags."""
    top = argparse.ArgumentParser(prog="mini-vllm", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="run|explain")
    run = commands.add_parser("run", help="replay a trace and print a summary")
    run.set_defaults(command=run_command)
    run.add_argument("--steps", metavar="OUT", help="write the steps (JSON Lines); slower")
    run.add_argument("--requests", metavar="OUT", help="write the requests (CSV)")
    why = commands.add_parser("explain", help="print the life of one request")
    why.set_defaults(command=explain_command)
    why.add_argument("--request", required=True, metavar="ID")
    for command in (run, why):
        add_limits(command)
    return top


def add_limits(command: argparse.ArgumentParser) -> None:
    """The flags that the oracle has, too. Each limit has the name of its field of Limits."""
    switch = argparse.BooleanOptionalAction
    command.add_argument("--version", required=True, choices=VERSIONS)
    command.add_argument("--trace", required=True, metavar="FILE", help=".jsonl or .parquet")
    command.add_argument("--limit", type=int, metavar="N", help="only the first N rows of the trace")
    command.add_argument(
        "--num-blocks", type=int, required=True, help="with the null block: N - 1 are usable"
    )
    command.add_argument("--block-size", type=int, default=16, help="tokens (%(default)s)")
    command.add_argument("--max-num-seqs", type=int, default=256, help="(%(default)s)")
    command.add_argument("--max-num-batched-tokens", type=int, default=8192, help="(%(default)s)")
    command.add_argument("--policy", choices=("fcfs", "priority"), default="fcfs", help="from v3 on")
    command.add_argument("--prefix-caching", action=switch, default=True, help="v4")
    command.add_argument("--chunked-prefill", action=switch, default=True, help="from v3 on")
    time = command.add_mutually_exclusive_group()
    seconds = "seconds: base,per_token,per_request"
    time.add_argument("--clock", type=parse_clock, default=DEFAULT_CLOCK, metavar="B,T,R", help=seconds)
    fitted = "seconds by prefill, decode and context tokens, JSON"
    time.add_argument("--cost-model", type=read_cost_model, dest="clock", metavar="FILE", help=fitted)


def build(args: argparse.Namespace) -> tuple[Engine, list[Request]]:
    """The engine that the flags describe, and all requests, the refused ones too."""
    limits = Limits(**{name: getattr(args, name) for name in Limits.__dataclass_fields__})
    requests = read_trace(args.trace, args.limit)
    return engines.build(args.version, requests, limits), requests


def run_command(args: argparse.Namespace) -> None:
    """Replay, write what was asked for, and print the summary. v1's OutOfBlocks ends the run, but it is a
    result and no error: the steps and requests up to it are written."""
    engine, requests = build(args)
    for request, reason in engine.refused:
        print(f"refused: {request.request_id} {reason}", file=sys.stderr)
    end = None
    with whole_file(args.steps) if args.steps else nullcontext() as file:
        try:
            for line in lines(engines.replay(engine, record=file is not None)):
                if file is not None:
                    file.write(line + "\n")
        except OutOfBlocks as error:
            end = f"OutOfBlocks at step {engine.steps} ({engine.now:.6g} s): {error}"
    if args.requests:
        write_requests(args.requests, requests)
    for line in summary(engine, requests, end):
        print(line)


def summary(engine: Engine, requests: Sequence[Request], end: str | None) -> Iterator[str]:
    """Lines about a run that is over. `requests`: the refused ones, too; `end`: where and why v1 ended."""
    admitted = [request for request in requests if request.cached_tokens is not None]
    finished = sum(request.finished for request in requests)
    yield f"requests     {len(requests)}: {finished} finished, {len(engine.refused)} refused"
    yield f"steps        {engine.steps} in {engine.now:.6g} s"
    if end:
        yield f"ended        {end}"
    yield f"preemptions  {sum(request.preemptions for request in requests)}"
    cache = getattr(engine.blocks, "cache", None)
    yield f"evictions    {cache.evictions if cache else 0} blocks"
    prompts = sum(request.prompt_tokens for request in admitted)
    cached = sum(request.cached_tokens for request in admitted)
    rate = f"{cached / prompts:.2%} of the prompt tokens ({cached} of {prompts})" if prompts else "-"
    yield f"hit rate     {rate}"
    rows = [dict(zip(COLUMNS, outcome(request), strict=True)) for request in requests]
    for name in ("ttft", "tpot", "e2e"):  # see docs/mini_vllm.md
        yield f"{name.upper():<12} {percentiles([row[name] for row in rows if row[name] is not None])}"


def percentiles(seconds: Sequence[float]) -> str:
    """Median and 99th percentile (linear between ranks)."""
    if not seconds:
        return "-"
    median, p99 = np.percentile(seconds, [50, 99])
    return f"median {median:.6g} s, p99 {p99:.6g} s"


def explain_command(args: argparse.Namespace) -> None:
    """Print one request's life."""
    engine, _ = build(args)
    for line in explain(engine, args.request):
        print(line)


if __name__ == "__main__":
    main()
