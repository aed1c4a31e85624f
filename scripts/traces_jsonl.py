"""A trace with the text of its prompts, as JSON Lines for tools outside.

In: a trace in Parquet, and the conversations and model directory that it was made from.
Out: one line a request; the keys are listed at vllm_lab.traces.jsonlines.write_requests.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.common import console
from vllm_lab.traces.jsonlines import write_requests
from vllm_lab.traces.prompts import Prompts
from vllm_lab.traces.streams import StreamMaker
from vllm_lab.traces.trace import Trace


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trace", type=Path, required=True, help="trace, .parquet")
    parser.add_argument("--conversations", type=Path, required=True, help="conversations.parquet")
    parser.add_argument("--model-dir", type=Path, required=True, help="as given to tokens.py")
    parser.add_argument("--chat-template", required=True, help="as given to tokens.py")
    parser.add_argument("--default-system-prompt", choices=("keep", "drop"), required=True)
    parser.add_argument("--output", type=Path, required=True, help="trace, .jsonl")
    args = parser.parse_args(argv)

    trace = Trace.read(args.trace)
    maker = StreamMaker(args.model_dir, args.chat_template, args.default_system_prompt)
    write_requests(args.output, trace, Prompts(trace, args.conversations, maker).text)


if __name__ == "__main__":
    console.run(main)
