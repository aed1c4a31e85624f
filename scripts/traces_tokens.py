"""Make token streams of conversations.

In: conversations.parquet and a checkpoint (tokenizer.json, tokenizer_config.json, chat_template.jinja). Out:
streams.parquet, a row for each token stream with the turns whose prompts are its prefixes, and a summary.
"""

from vllm_lab.common import console, files, flags, host
from vllm_lab.traces.streams import write_streams


def main(argv: list[str] | None = None) -> None:
    args = flags.parse(argv, __doc__, flags.add_rendering, output="streams.parquet", summary="summary, .json")
    settings = (args.model_dir, args.chat_template, args.default_system_prompt)
    summary = write_streams(args.conversations, args.output, settings, host.threads())
    files.write_json(args.summary, summary)
    console.log(
        f"{summary['conversations']} conversations, {summary['streams']} streams, {summary['tokens']} tokens"
    )


if __name__ == "__main__":
    console.run(main)
