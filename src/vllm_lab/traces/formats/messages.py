"""OpenAI's form of conversations, as vLLM's multi-turn benchmark reads it."""

from collections.abc import Iterator

from vllm_lab.traces.formats import format as fmt


def _records(source: fmt.Source) -> Iterator[fmt.Record]:
    """The conversations in which user and assistant take turns, the user first, up to the last reply."""
    for name, messages in source.conversations():
        pairs = len(messages) // 2
        turns = ["user", "assistant"] * (pairs + 1)
        if pairs and [one["role"] for one in messages] == turns[: len(messages)]:
            spoken = [{"role": one["role"], "content": one["text"]} for one in messages[: 2 * pairs]]
            yield {"id": name, "messages": spoken}


OUTGOING = fmt.Outgoing(
    "messages.json",
    "conversations",
    of_blocks=False,
    readers=(
        fmt.Reader(
            "vLLM, multi-turn",
            f"python benchmarks/multi_turn/benchmark_serving_multi_turn.py --url {fmt.SERVER} {fmt.MODEL}"
            " --input-file {file} --num-clients 1 --max-active-conversations 8"
            " --limit-min-tokens 0 --limit-max-tokens 0",
            fmt.DOCUMENTED,
        ),
    ),
    notes=(
        "Only conversations in which user and assistant take turns, the user first, up to the last "
        "reply; the reader stops at any other. Limits of 0 ask for outputs as long as those in the "
        "file. The benchmark is closed-loop and ignores the arrival times of the trace, and the chat "
        "template of the server renders the messages.",
    ),
    records=_records,
)
