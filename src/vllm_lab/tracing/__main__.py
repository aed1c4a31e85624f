"""python -m vllm_lab.tracing simple | detailed | kernels: what real vLLM calls to answer a prompt."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vllm_lab.common import console
from vllm_lab.common.errors import LabError
from vllm_lab.common.files import write_text
from vllm_lab.common.flags import positive
from vllm_lab.tracing import documents, text
from vllm_lab.tracing.documents import add_question, engine_from, question_from
from vllm_lab.tracing.modules import ALL, Selection, layers


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and run one tool."""
    arguments = _parser().parse_args(argv)
    document = _document(arguments)
    written = json.dumps(document, indent=1) + "\n" if arguments.format == "json" else text.layout(document)
    if arguments.output:
        write_text(arguments.output, written)
    else:
        sys.stdout.write(written)


def _document(arguments: argparse.Namespace) -> dict[str, Any]:
    selection = Selection(arguments.modules, arguments.layers)
    if selection != ALL and not arguments.enforce_eager:
        raise LabError(
            "--modules and --layers: a compiled graph has no modules; leave --no-enforce-eager out"
        )
    question = question_from(arguments)
    with engine_from(arguments, question, arguments.enforce_eager) as engine:
        if arguments.tool == "kernels":
            files = (arguments.report, arguments.chrome_trace)
            return documents.kernels(engine, question, *files, selection, arguments.limit)
        tool = {"simple": documents.simple, "detailed": documents.detailed}[arguments.tool]
        return tool(engine, question, selection, arguments.limit)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m vllm_lab.tracing", description=__doc__)
    tools = parser.add_subparsers(dest="tool", required=True, metavar=" | ".join(documents.TESTS))
    for name, test in documents.TESTS.items():
        tool = tools.add_parser(name, help=test.method, description=test.method)
        add_question(tool)
        add, listed = tool.add_argument, documents.LISTED[name]
        add("--limit", type=positive, default=listed, metavar="N", help="rows listed (%(default)s)")
        add("--format", choices=("text", "json"), default="text", help="(%(default)s)")
        add("--output", type=Path, metavar="FILE", help="instead of the terminal")
        add(
            "--modules",
            type=lambda names: tuple(names.split(",")),
            default=ALL.modules,
            metavar="NAME,…",
            help="only these: parts of class names (Attention,MLP) or dotted names (model.layers.*.mlp)",
        )
        add("--layers", type=layers, metavar="0-2,5", help="only what these layers call")
        tool.set_defaults(enforce_eager=True)
    add = tools.choices["kernels"].add_argument
    add(
        "--enforce-eager",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="--no-enforce-eager: with torch.compile and CUDA graphs, without the modules' names",
    )
    add("--report", type=Path, default="profiler_report.txt", help="(%(default)s)")
    add("--chrome-trace", type=Path, default="chrome_trace.json.gz", help="(%(default)s)")
    return parser


if __name__ == "__main__":
    console.run(main)
