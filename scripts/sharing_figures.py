"""Draw the figures of prefix sharing.

In: each trace's name, statistics and tables of requests, blocks, reuse gaps and working set.
Out: sharing_fraction_cdf, block_hit_distribution, reuse_gap_cdf, comparison, working_set, as PNG and SVG.
"""

from vllm_lab.common import console, flags
from vllm_lab.sharing import figures

FIGURES = (
    figures.sharing_fraction_cdf,
    figures.block_hit_distribution,
    figures.reuse_gap_cdf,
    figures.comparison,
    figures.working_set,
)
FILES = ("NAME", "STATS", "REQUESTS", "BLOCKS", "REUSE_GAPS", "WORKING_SET")


def main(argv: list[str] | None = None) -> None:
    parser = flags.parser_of(__doc__, outdir="folder of the figures")
    parser.add_argument("--trace", nargs=len(FILES), metavar=FILES, action="append", required=True)
    args = parser.parse_args(argv)
    traces = [figures.TraceTables.read(*trace) for trace in args.trace]
    for draw in FIGURES:
        draw(traces, args.outdir / draw.__name__)


if __name__ == "__main__":
    console.run(main)
