"""The text of a trace's prompts, rendered anew from the conversations."""

from __future__ import annotations

from pathlib import Path

from vllm_lab.errors import LabError
from vllm_lab.traces.stream_file import open_conversations
from vllm_lab.traces.streams import StreamMaker
from vllm_lab.traces.tokenizer import show
from vllm_lab.traces.trace import Trace


class Prompts:
    """Prompt texts of the conversations of one trace: exactly what was tokenised."""

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
        """The prompt of request `row`. LabError if the trace was not made from these conversations."""
        name, turn = self._trace.conversation_id[row], int(self._trace.turn[row])
        messages = self._messages.get(name, [])
        user_turns = [index for index, message in enumerate(messages) if message["role"] == "user"]
        if turn > len(user_turns):
            raise LabError(
                f"{self._path}: conversation {name} has {len(user_turns)} user turns, the trace asks for "
                f"turn {turn}; run the rules `tokens` and `trace` again"
            )
        chat, hidden = self._maker.messages(messages[: user_turns[turn - 1] + 1])
        return show(self._maker.template.render(chat, prompt=True), hidden)
