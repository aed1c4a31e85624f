"""Draw the figures of the cache sweeps.

In: hit_rates.csv. Out: hit_rate_curves and hit_rate_heatmap, each as PNG and SVG.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.common import console
from vllm_lab.sharing.sweep_figures import hit_rate_curves, hit_rate_heatmap
from vllm_lab.sharing.sweep_table import read_sweep


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", required=True, metavar="CSV")
    parser.add_argument("--block-size", type=int, required=True, help="tokens; of the heat map")
    parser.add_argument("--outdir", type=Path, required=True)
    args = parser.parse_args(argv)
    rows = read_sweep(args.table)
    hit_rate_curves(rows, args.outdir / "hit_rate_curves")
    hit_rate_heatmap(rows, args.block_size, args.outdir / "hit_rate_heatmap")


if __name__ == "__main__":
    console.run(main)
