"""Draw latency, throughput and goodput of vLLM's server over the arrival rate.

In: the account of a server replay.
Out: latency_over_rate, as PNG and SVG; where it was not run it says so.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.common import console
from vllm_lab.common.files import read_json
from vllm_lab.load.figures import latency_over_rate


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replay", type=Path, required=True, help="server_replay.json")
    parser.add_argument("--outdir", type=Path, required=True)
    args = parser.parse_args(argv)
    latency_over_rate(read_json(args.replay), args.outdir / "latency_over_rate")


if __name__ == "__main__":
    console.run(main)
