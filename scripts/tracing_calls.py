"""Trace every call of every module of real vLLM while it answers a prompt.

In: a checkpoint.
Out: what the tools `simple` and `detailed` saw, each as JSON and as text.
"""

from vllm_lab.common import console, errors, files, flags
from vllm_lab.tracing import documents, text

TOOLS = {"simple": documents.simple, "detailed": documents.detailed}


def main(argv: list[str] | None = None) -> None:
    outputs = dict.fromkeys(TOOLS, "JSON to write; the text goes next to it")
    args = flags.parse(argv, __doc__, documents.add_question, **outputs)
    question = documents.question_from(args)
    try:
        with documents.engine_from(args, question) as engine:
            found = {name: tool(engine, question) for name, tool in TOOLS.items()}
    except errors.Unavailable as missing:
        console.log(f"not run: {missing}")
        found = {name: documents.not_run(name, question, args.device, str(missing)) for name in TOOLS}
    for name, document in found.items():
        files.write_json(getattr(args, name), document)
        files.write_text(getattr(args, name).with_suffix(".txt"), text.layout(document))


if __name__ == "__main__":
    console.run(main)
