"""Compare Mooncake's published hit rates with those of this project on Mooncake's conversation trace.

In: the sweep and the sharing statistics of the trace. Out: JSON.
"""

from vllm_lab.common import console, files, flags
from vllm_lab.sharing.metrics import read_sweep
from vllm_lab.sharing.published import mooncake_comparison


def main(argv: list[str] | None = None) -> None:
    args = flags.parse(argv, __doc__, sweep="sweep, .csv", stats="statistics, .json", output="JSON to write")
    files.write_json(args.output, mooncake_comparison(read_sweep(args.sweep), files.read_json(args.stats)))


if __name__ == "__main__":
    console.run(main)
