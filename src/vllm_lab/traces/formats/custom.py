"""vLLM's custom dataset: prompts as text, with the lengths of their outputs."""

from collections.abc import Iterator

from vllm_lab.traces.formats import format as fmt


def _records(source: fmt.Source) -> Iterator[fmt.Record]:
    for row, count in enumerate(source.trace.output_tokens.tolist()):
        yield {"prompt": source.prompts.text(row), "output_tokens": count}


OUTGOING = fmt.Outgoing(
    "custom.jsonl",
    "requests",
    of_blocks=False,
    readers=(
        fmt.Reader(
            "vLLM",
            f"{fmt.VLLM_BENCH} --dataset-name custom --dataset-path {{file}} --custom-output-len -1"
            " --skip-chat-template --disable-shuffle --no-oversample --num-prompts {records}"
            """ --extra-body '{{"add_special_tokens": false}}'""",
            fmt.READ_BACK,
        ),
    ),
    notes=(
        "Prompts are rendered with the chat template. Without the flags vLLM renders them again, asks "
        "for 256 tokens each and shuffles them, and the server adds a second BOS token. There are no "
        "arrival times.",
        "Its reader tokenises the text anew. Where a conversation holds the text of a special token, the "
        "tokens differ from those of the trace.",
    ),
    records=_records,
)
