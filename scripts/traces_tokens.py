"""Conversations to token streams.

In: conversations.parquet and a model directory (tokenizer.json, tokenizer_config.json, chat_template.jinja).
Out: streams.parquet, one row a token stream with the turns whose prompts are its prefixes, and summary.json.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.common import console, files, host
from vllm_lab.traces.stream_file import write_streams


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--conversations", type=Path, required=True, help="conversations.parquet")
    parser.add_argument("--model-dir", type=Path, required=True, help="directory with the tokenizer's files")
    parser.add_argument("--chat-template", required=True, help="tokenizer, plain, or a Jinja file")
    parser.add_argument("--default-system-prompt", choices=("keep", "drop"), required=True)
    parser.add_argument("--output", type=Path, required=True, help="streams.parquet")
    parser.add_argument("--summary", type=Path, required=True, help="summary.json")
    args = parser.parse_args(argv)

    settings = (args.model_dir, args.chat_template, args.default_system_prompt)
    summary = write_streams(args.conversations, args.output, settings, host.threads())
    files.write_json(args.summary, summary)
    console.log(
        f"{summary['conversations']} conversations, {summary['streams']} streams, {summary['tokens']} tokens"
    )


if __name__ == "__main__":
    console.run(main)
