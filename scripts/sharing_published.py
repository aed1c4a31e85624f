"""Compare Mooncake's published hit rates with those of this project on Mooncake's conversation trace.

In: the sweep and the sharing statistics of the trace. Out: JSON.
"""

from vllm_lab.common import console, files, flags
from vllm_lab.sharing import metrics, published


def main(argv: list[str] | None = None) -> None:
    args = flags.parse(argv, __doc__, sweep="sweep, .csv", stats="statistics, .json", output="JSON to write")
    sweep, stats = metrics.read_sweep(args.sweep), files.read_json(args.stats)
    files.write_json(args.output, published.mooncake_comparison(sweep, stats))


if __name__ == "__main__":
    console.run(main)
