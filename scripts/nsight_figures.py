"""Draw what captures of Nsight Systems contain.

In: the captures' documents.
Out: step_timeline, kernel_shares, cpu_and_gpu_time, as PNG and SVG. Where nothing was captured they say so.
"""

from vllm_lab.common import console, files, flags
from vllm_lab.nsight.figures import cpu_and_gpu_time, kernel_shares, step_timeline


def main(argv: list[str] | None = None) -> None:
    several = {"metrics": "JSON of nsight_metrics"}
    args = flags.parse(argv, __doc__, several=several, outdir="folder to write to")
    documents = {file.stem: files.read_json(file) for file in args.metrics}
    for draw in (step_timeline, kernel_shares, cpu_and_gpu_time):
        draw(documents, args.outdir / draw.__name__)


if __name__ == "__main__":
    console.run(main)
