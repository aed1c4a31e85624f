"""Trace every call of every module of real vLLM while it answers a prompt.

In: a checkpoint.
Out: what the tools `simple` and `detailed` saw, each as JSON and as text. Where vLLM is not
installed or the device is not there: the same files, status not_run.
"""

from vllm_lab.common import console
from vllm_lab.common.errors import Unavailable
from vllm_lab.common.files import write_json, write_text
from vllm_lab.common.flags import parser_of
from vllm_lab.engines.engine import Engine
from vllm_lab.tracing import documents, text
from vllm_lab.tracing.documents import add_question, question_from, settings_from

TOOLS = {"simple": documents.simple, "detailed": documents.detailed}


def main(argv: list[str] | None = None) -> None:
    parser = parser_of(__doc__, **dict.fromkeys(TOOLS, "JSON to write; the text goes next to it"))
    add_question(parser)
    args = parser.parse_args(argv)
    question = question_from(args)
    try:
        with Engine(settings_from(args, question)) as engine:
            found = {name: tool(engine, question) for name, tool in TOOLS.items()}
    except Unavailable as missing:
        console.log(f"not run: {missing}")
        found = {name: documents.not_run(name, question, args.device, str(missing)) for name in TOOLS}
    for name, document in found.items():
        write_json(getattr(args, name), document)
        write_text(getattr(args, name).with_suffix(".txt"), text.layout(document))


if __name__ == "__main__":
    console.run(main)
