"""Profile the kernels of real vLLM while it answers a prompt; on CUDA with torch.compile and CUDA graphs.

In: a checkpoint.
Out: kernels by time and by class (JSON and text), PyTorch's whole table, and a Chrome trace. Where vLLM is
not installed or the device is not there: the same files, status not_run.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.common import console
from vllm_lab.common.errors import Unavailable
from vllm_lab.common.files import write_json, write_text
from vllm_lab.engines.engine import Engine
from vllm_lab.tracing import documents, flags, text
from vllm_lab.tracing.profiler import write_gzip


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    flags.add_question(parser)
    parser.add_argument("--output", type=Path, required=True, help="JSON to write; the text beside it")
    parser.add_argument("--report", type=Path, required=True, help="PyTorch's table to write")
    parser.add_argument("--chrome-trace", type=Path, required=True, help=".json.gz to write")
    args = parser.parse_args(argv)
    question = flags.question_from(args)
    try:
        with Engine(flags.settings_from(args, question, args.device == "cpu")) as engine:
            found = documents.kernels(engine, question, args.report, args.chrome_trace)
    except Unavailable as missing:
        console.log(f"not run: {missing}")
        found = documents.not_run("kernels", question, args.device, str(missing))
        write_text(args.report, f"not run: {missing}\n")
        write_gzip(args.chrome_trace, b'{"traceEvents": []}\n')
    write_json(args.output, found)
    write_text(args.output.with_suffix(".txt"), text.layout(found))


if __name__ == "__main__":
    console.run(main)
