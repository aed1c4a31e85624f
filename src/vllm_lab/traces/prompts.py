"""The text of a trace's prompts, rendered anew from the conversations."""

from __future__ import annotations

from pathlib import Path

from vllm_lab.common.errors import LabError
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
        end = self._end(name, turn)
        chat, hidden = self._maker.messages(self._messages[name][:end])
        return show(self._maker.template.render(chat, prompt=True), hidden)

    def conversation(self, name: str, turn: int) -> list[dict[str, str]]:
        """A conversation's messages (role, text) to its user turn `turn` (from 1), and the reply if there is
        one. LabError as for `text`."""
        end = self._end(name, turn)
        messages = self._messages[name]
        replied = end < len(messages) and messages[end]["role"] == "assistant"
        return messages[: end + replied]

    def _end(self, name: str, turn: int) -> int:
        """How many messages there are up to the conversation's user turn `turn`."""
        messages = self._messages.get(name, [])
        user_turns = [index for index, message in enumerate(messages) if message["role"] == "user"]
        if turn > len(user_turns):
            raise LabError(
                f"{self._path}: conversation {name} has {len(user_turns)} user turns, the trace asks for "
                f"turn {turn}; run the rules `tokens` and `trace` again"
            )
        return user_turns[turn - 1] + 1
