"""Draw latency, throughput and goodput of vLLM's server over the arrival rate.

In: the result document of a sweep.
Out: latency_over_rate, as PNG and SVG. If nothing was measured, the figure says so.
"""

from vllm_lab.common import console, files, flags
from vllm_lab.load.figures import latency_over_rate


def main(argv: list[str] | None = None) -> None:
    args = flags.parse(argv, __doc__, load="load.json", outdir="folder")
    latency_over_rate(files.read_json(args.load), args.outdir / "latency_over_rate")


if __name__ == "__main__":
    console.run(main)
