"""Trace every call of every module of real vLLM while it answers a prompt.

In: a checkpoint.
Out: what the tools `simple` and `detailed` saw, each as JSON and as text. Where vLLM is not
installed or the device is not there: the same files, status not_run.
"""

from vllm_lab.common import console, files, flags
from vllm_lab.common.errors import Unavailable
from vllm_lab.tracing import documents, text
from vllm_lab.tracing.documents import add_question, engine_from, question_from

TOOLS = {"simple": documents.simple, "detailed": documents.detailed}


def main(argv: list[str] | None = None) -> None:
    outputs = dict.fromkeys(TOOLS, "JSON to write; the text goes next to it")
    args = flags.parse(argv, __doc__, add_question, **outputs)
    question = question_from(args)
    try:
        with engine_from(args, question) as engine:
            found = {name: tool(engine, question) for name, tool in TOOLS.items()}
    except Unavailable as missing:
        console.log(f"not run: {missing}")
        found = {name: documents.not_run(name, question, args.device, str(missing)) for name in TOOLS}
    for name, document in found.items():
        files.write_json(getattr(args, name), document)
        files.write_text(getattr(args, name).with_suffix(".txt"), text.layout(document))


if __name__ == "__main__":
    console.run(main)
