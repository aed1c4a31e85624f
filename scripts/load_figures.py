"""Draw latency, throughput and goodput of vLLM's server over the arrival rate.

In: the result document of a sweep.
Out: latency_over_rate, as PNG and SVG. If nothing was measured, the figure says so.
"""

from collections.abc import Sequence

from vllm_lab.common import console, flags
from vllm_lab.common.files import read_json
from vllm_lab.load.figures import latency_over_rate


def main(argv: Sequence[str] | None = None) -> None:
    parser = flags.parser_of(__doc__)
    flags.add_paths(parser, load="load.json", outdir="folder")
    args = parser.parse_args(argv)
    latency_over_rate(read_json(args.load), args.outdir / "latency_over_rate")


if __name__ == "__main__":
    console.run(main)
