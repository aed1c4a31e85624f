"""Profile the kernels of real vLLM while it answers a prompt; on CUDA with torch.compile and CUDA graphs.

In: a checkpoint.
Out: kernels by time and by class (JSON and text), PyTorch's whole table, and a Chrome trace.
"""

from vllm_lab.common import console, errors, files, flags
from vllm_lab.tracing import documents, kernels, text


def main(argv: list[str] | None = None) -> None:
    args = flags.parse(
        argv,
        __doc__,
        documents.add_question,
        output="JSON to write; the text goes next to it",
        report="PyTorch's table to write",
        chrome_trace=".json.gz to write",
    )
    question = documents.question_from(args)
    try:
        with documents.engine_from(args, question, eager=args.device == "cpu") as engine:
            found = documents.kernels(engine, question, args.report, args.chrome_trace)
    except errors.Unavailable as missing:
        console.log(f"not run: {missing}")
        found = documents.not_run("kernels", question, args.device, str(missing))
        files.write_text(args.report, f"not run: {missing}\n")
        kernels.write_gzip(args.chrome_trace, b'{"traceEvents": []}\n')
    files.write_json(args.output, found)
    files.write_text(args.output.with_suffix(".txt"), text.layout(found))


if __name__ == "__main__":
    console.run(main)
