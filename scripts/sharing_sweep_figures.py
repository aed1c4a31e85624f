"""Draw the figures of the cache sweeps.

In: hit_rates.csv. Out: hit_rate_curves and hit_rate_heatmap, each as PNG and SVG.
"""

from vllm_lab.common import console, flags
from vllm_lab.sharing import figures


def main(argv: list[str] | None = None) -> None:
    parser = flags.parser_of(__doc__, table="hit_rates.csv", outdir="folder of the figures")
    parser.add_argument("--block-size", type=int, required=True, help="tokens, of the heat map")
    args = parser.parse_args(argv)
    rates = figures.read_hit_rates(args.table)
    figures.hit_rate_curves(rates, args.outdir / "hit_rate_curves")
    figures.hit_rate_heatmap(rates, args.block_size, args.outdir / "hit_rate_heatmap")


if __name__ == "__main__":
    console.run(main)
