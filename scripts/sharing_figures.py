"""Draw the figures of prefix sharing.

In: each trace's name, statistics and tables of requests, blocks, reuse gaps and working set.
Out: sharing_fraction_cdf, block_hit_distribution, reuse_gap_cdf, comparison, working_set, as PNG and SVG.
"""

from vllm_lab.common import console, flags
from vllm_lab.common.figure_names import FIGURES
from vllm_lab.sharing import figures

FILES = ("NAME", "STATS", "REQUESTS", "BLOCKS", "REUSE_GAPS", "WORKING_SET")


def main(argv: list[str] | None = None) -> None:
    parser = flags.parser_of(__doc__, outdir="folder of the figures")
    parser.add_argument("--trace", nargs=len(FILES), metavar=FILES, action="append", required=True)
    args = parser.parse_args(argv)
    traces = [figures.TraceTables.read(*trace) for trace in args.trace]
    for name in FIGURES["sharing"]:
        getattr(figures, name)(traces, args.outdir / name)


if __name__ == "__main__":
    console.run(main)
