"""Draw the figures of scheduling: mini-vLLM's versions and vLLM's own scheduler.

In: the records of all replays (their steps and requests are in the same folder), the comparison, and the
trace to show.
Out: latency_histograms, running_waiting_blocks and hit_rate_over_time of that trace, and divergence, as PNG
and SVG.
"""

from vllm_lab.common import console, files, flags
from vllm_lab.replay import figures, records
from vllm_lab.traces.trace import Trace


def main(argv: list[str] | None = None) -> None:
    args = flags.parse(
        argv,
        __doc__,
        several={"records": "of the replays, JSON"},
        comparison="JSON",
        trace="the trace to show, NAME_trace.parquet or .jsonl",
        outdir="folder for the figures",
    )
    trace = Trace.read(args.trace)
    name = args.trace.stem.removesuffix("_trace")
    prompt_tokens = dict(zip(trace.request_id, trace.prompt_tokens.tolist(), strict=True))
    comparison = files.read_json(args.comparison)["runs"]
    figures.draw_all(records.stored_runs(args.records), comparison, name, prompt_tokens, args.outdir)


if __name__ == "__main__":
    console.run(main)
