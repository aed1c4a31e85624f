"""Draw what captures of Nsight Systems contain.

In: the captures' documents.
Out: step_timeline, kernel_shares, cpu_and_gpu_time, as PNG and SVG. Where nothing was captured they say so.
"""

from pathlib import Path

from vllm_lab.common import console
from vllm_lab.common.files import read_json
from vllm_lab.common.flags import parser_of
from vllm_lab.nsight.figures import cpu_and_gpu_time, kernel_shares, step_timeline


def main(argv: list[str] | None = None) -> None:
    parser = parser_of(__doc__, outdir="folder to write to")
    parser.add_argument("--metrics", type=Path, nargs="+", required=True, help="JSON of nsight_metrics")
    args = parser.parse_args(argv)
    documents = {file.stem: read_json(file) for file in args.metrics}
    for draw in (step_timeline, kernel_shares, cpu_and_gpu_time):
        draw(documents, args.outdir / draw.__name__)


if __name__ == "__main__":
    console.run(main)
