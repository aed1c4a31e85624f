"""Draw the figures of scheduling: mini-vLLM's versions beside vLLM's own scheduler.

In: the records of all replays (their steps and requests lie beside them), the comparison, the trace to show.
Out: latency_histograms, running_waiting_blocks and hit_rate_over_time of that trace, and divergence, as PNG
and SVG.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.common import console
from vllm_lab.common.files import read_json
from vllm_lab.replay.figures import draw_all
from vllm_lab.replay.stored_run import stored_runs
from vllm_lab.traces.trace import Trace


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=Path, nargs="+", required=True, metavar="JSON")
    parser.add_argument("--comparison", type=Path, required=True, metavar="JSON")
    parser.add_argument("--trace", type=Path, required=True, help="NAME_trace.parquet or .jsonl")
    parser.add_argument("--outdir", type=Path, required=True)
    args = parser.parse_args(argv)
    trace = Trace.read(args.trace)
    name = args.trace.stem.removesuffix("_trace")
    prompt_tokens = dict(zip(trace.request_id, trace.prompt_tokens.tolist(), strict=True))
    accounts = read_json(args.comparison)["runs"]
    draw_all(stored_runs(args.records), accounts, name, prompt_tokens, args.outdir)


if __name__ == "__main__":
    console.run(main)
