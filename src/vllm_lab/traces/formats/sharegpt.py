"""ShareGPT's form of conversations, which vLLM reads as pairs of prompt and reply."""

from collections.abc import Iterator

from vllm_lab.traces.formats import format as fmt

ROLES = {"user": "human", "assistant": "gpt", "system": "system"}


def _records(source: fmt.Source) -> Iterator[fmt.Record]:
    for name, messages in source.conversations():
        spoken = [{"from": ROLES[one["role"]], "value": one["text"]} for one in messages]
        yield {"id": name, "conversations": spoken}


OUTGOING = fmt.Outgoing(
    "sharegpt.json",
    "conversations",
    of_blocks=False,
    readers=(
        fmt.Reader(
            "vLLM",
            f"{fmt.VLLM_BENCH} --dataset-name sharegpt --dataset-path {{file}} --disable-shuffle"
            " --no-oversample --num-prompts {records}",
            fmt.READ_BACK,
        ),
    ),
    notes=(
        "Each conversation reaches as far as the trace does, in the order of the trace. vLLM takes "
        "only the first two messages, from any speaker, as prompt and reply. It drops texts shorter "
        "than 4 tokens, prompts above 1,024 tokens and pairs above 2,048.",
    ),
    records=_records,
)
