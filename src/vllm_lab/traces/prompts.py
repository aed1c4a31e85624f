"""A trace with the texts of its prompts, for tools that read text."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import orjson

from vllm_lab.common import console
from vllm_lab.common.errors import LabError
from vllm_lab.common.files import atomic_path
from vllm_lab.traces.stream_file import open_conversations
from vllm_lab.traces.streams import StreamMaker
from vllm_lab.traces.tokenizer import show
from vllm_lab.traces.trace import Trace


class Prompts:
    """The texts of the prompts of one trace, rendered again from the conversations: exactly what was
    tokenised."""

    def __init__(self, trace: Trace, conversations: Path, maker: StreamMaker) -> None:
        self._trace, self._maker, self._path = trace, maker, conversations
        wanted = set(trace.conversation_id)
        self._messages = {}
        source = open_conversations(conversations)
        for batch in source.iter_batches(columns=["conversation_id", "messages"]):
            names = batch["conversation_id"].to_pylist()
            self._messages |= {
                name: batch["messages"][row].as_py() for row, name in enumerate(names) if name in wanted
            }

    def text(self, row: int) -> str:
        """The text of the prompt in row `row`. LabError if the trace was made from other conversations."""
        name, turn = self._trace.conversation_id[row], int(self._trace.turn[row])
        end = self._end(name, turn)
        chat, hidden = self._maker.messages(self._messages[name][:end])
        return show(self._maker.template.render(chat, prompt=True), hidden)

    def conversation(self, name: str, turn: int) -> list[dict[str, str]]:
        """The messages (role, text) of a conversation up to its user turn `turn` (from 1), with the reply if
        there is one. LabError as for `text`."""
        end = self._end(name, turn)
        messages = self._messages[name]
        replied = end < len(messages) and messages[end]["role"] == "assistant"
        return messages[: end + replied]

    def _end(self, name: str, turn: int) -> int:
        """The number of messages up to user turn `turn` of the conversation."""
        messages = self._messages.get(name, [])
        user_turns = [index for index, message in enumerate(messages) if message["role"] == "user"]
        if turn > len(user_turns):
            raise LabError(
                f"{self._path}: conversation {name} has {len(user_turns)} user turns, the trace asks for "
                f"turn {turn}; run the rules traces_tokens and traces_make again"
            )
        return user_turns[turn - 1] + 1


def write_requests(path: str | os.PathLike, trace: Trace, prompt_text: Callable[[int], str]) -> None:
    """Write a line for each request, in the order of the trace: its columns, the text of its prompt
    (`prompt_text` of the row), prompt_token_ids and output_token_ids."""
    with atomic_path(path) as partial, partial.open("wb") as file:
        for row in console.progress(range(len(trace)), desc="write", unit="request"):
            record = {
                "request_id": trace.request_id[row],
                "conversation_id": trace.conversation_id[row],
                "turn": int(trace.turn[row]),
                "arrival_time": float(trace.arrival_time[row]),
                "priority": int(trace.priority[row]),
                "prompt_tokens": int(trace.prompt_tokens[row]),
                "output_tokens": int(trace.output_tokens[row]),
                "prompt": prompt_text(row),
                "prompt_token_ids": trace.prompt(row),
                "output_token_ids": trace.output(row),
            }
            file.write(orjson.dumps(record, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE))
