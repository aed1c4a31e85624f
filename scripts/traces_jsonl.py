"""Write a trace with the text of its prompts, as JSON Lines for other tools.

In: a trace in Parquet, and the conversations and the checkpoint that it was made from.
Out: a line for each request; its keys are listed in workflow/schemas/trace_jsonl.schema.yaml.
"""

from vllm_lab.common import console, flags
from vllm_lab.traces.formats.format import Prompts
from vllm_lab.traces.streams import StreamMaker
from vllm_lab.traces.trace import Trace


def main(argv: list[str] | None = None) -> None:
    args = flags.parse(argv, __doc__, flags.add_rendering, trace="trace, .parquet", output="trace, .jsonl")
    trace = Trace.read(args.trace)
    maker = StreamMaker(args.model_dir, args.chat_template, args.default_system_prompt)
    trace.write_json_lines(args.output, Prompts(trace, args.conversations, maker).text)


if __name__ == "__main__":
    console.run(main)
