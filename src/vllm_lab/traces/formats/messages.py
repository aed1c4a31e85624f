"""OpenAI's form of conversations, as vLLM's multi-turn benchmark reads it."""

from pathlib import Path

from vllm_lab.traces.formats import format as fmt


def _write(path: Path, source: fmt.Source) -> int:
    return fmt.write_array(
        path,
        (
            {
                "id": name,
                "messages": [{"role": one["role"], "content": one["text"]} for one in answered],
            }
            for name, messages in source.conversations()
            if (answered := _taking_turns(messages))
        ),
    )


def _taking_turns(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """The messages up to the last reply; empty unless user and assistant take turns, the user first."""
    answered = messages[: len(messages) // 2 * 2]
    wanted = ["user", "assistant"] * (len(messages) // 2 + 1)
    return answered if [one["role"] for one in messages] == wanted[: len(messages)] else []


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
    write=_write,
)
