"""Bailian's traces of Qwen's service: block hashes, and which requests belong to one chat
(https://github.com/alibaba-edu/qwen-bailian-usagetraces-anon).

In: chat_id, parent_chat_id (-1 for none), timestamp (s), input_length and output_length (tokens), turn and
hash_ids; `type` and other keys are ignored. Request `chat<chat_id>` belongs to the conversation of the first
chat among its ancestors. The authors hash each block by itself and do not say whether the partial last one
has an id: where it has none, it gets one that no other block has.
"""

from collections.abc import Sequence

from vllm_lab.traces.formats import format as fmt

NO_PARENT = -1


def _columns(
    records: list[fmt.Record], lines: list[int], block_tokens: int
) -> tuple[list[fmt.Record], fmt.Columns]:
    roots = _roots(records)
    return _completed(records, block_tokens), {
        "request_id": [f"chat{record['chat_id']}" for record in records],
        "conversation_id": [f"chat{roots[record['chat_id']]}" for record in records],
        "turn": [record["turn"] for record in records],
    }


def _roots(records: Sequence[fmt.Record]) -> dict[int, int]:
    """chat_id -> the first chat of its conversation; of one that began before the trace, the first known one.

    Records are in order of arrival, so parents come first.
    """
    roots: dict[int, int] = {}
    for record in records:
        chat, parent = record["chat_id"], record["parent_chat_id"]
        roots[chat] = chat if parent == NO_PARENT else roots.get(parent, parent)
    return roots


def _completed(records: Sequence[fmt.Record], block_tokens: int) -> list[fmt.Record]:
    """The records, with an id of its own for each partial last block that has none."""
    fresh = 1 + max((number for record in records for number in record["hash_ids"]), default=-1)
    completed = []
    for record in records:
        if len(record["hash_ids"]) * block_tokens < record["input_length"]:
            record = record | {"hash_ids": [*record["hash_ids"], fresh]}
            fresh += 1
        completed.append(record)
    return completed


INCOMING = fmt.Incoming(
    "bailian",
    block_tokens=16,
    per_second=1,
    columns=_columns,
    integers={
        "chat_id": fmt.is_count,
        "parent_chat_id": lambda chat: fmt.is_count(chat) or chat == NO_PARENT,
        "turn": lambda turn: fmt.is_count(turn) and turn >= 1,
    },
    may_lack_last=True,
)
