"""Token streams: a conversation is rendered and tokenised once, and its prompts are prefixes of the result.

The text of a stream is cut where a prompt ends, and each piece is tokenised separately. So a prompt is always
an exact prefix of its stream, and the tokens of a reply are those that an engine would have generated after
that prompt; they go into the next prompt unchanged. Tokenising a prompt together with its reply could give
other tokens only where the two meet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vllm_lab.common.errors import LabError
from vllm_lab.traces.layout import StreamLayout, lay_out
from vllm_lab.traces.template import (
    Message,
    TemplateRefusedError,
    load_template,
    probe,
    without_system_prompt,
)
from vllm_lab.traces.tokenizer import ChatTokenizer

SCHEMA = pa.schema(
    [
        ("conversation", pa.int32()),
        ("conversation_id", pa.string()),
        ("first_role", pa.string()),
        ("turns", pa.list_(pa.int32())),
        ("prompt_tokens", pa.list_(pa.int32())),
        ("output_tokens", pa.list_(pa.int32())),
        ("answered", pa.list_(pa.bool_())),
        ("token_ids", pa.list_(pa.int32())),
    ]
)


@dataclass
class Tally:
    """Counts of what happened to the conversations, and the first one that the template refused."""

    counts: Counter[str] = field(default_factory=Counter)
    refused_example: dict[str, str] | None = None

    def add(self, later: Tally) -> None:
        """Add the tally of conversations that come later in the file."""
        self.counts += later.counts
        self.refused_example = self.refused_example or later.refused_example


class StreamMaker:
    """Turns conversations into streams with one tokenizer, template and system prompt policy.

    A template may put a default system prompt before a conversation without a system message: the policy
    `keep` leaves it there, `drop` cuts it out. LabError where that is impossible, or where nothing can end a
    turn.
    """

    def __init__(self, model_dir: Path, chat_template: str, default_system_prompt: str) -> None:
        self.tokenizer = ChatTokenizer(model_dir)
        self.template = load_template(chat_template, model_dir, self.tokenizer.special_tokens)
        self.shape = probe(self.template)
        self.policy = default_system_prompt
        if self.policy == "drop":
            self.template = without_system_prompt(self.template, self.shape)
        end_text = self.tokenizer.find_special(self.shape.reply_end)
        self.has_end_token = end_text is not None
        end_text = end_text or self.tokenizer.special_tokens.get("eos_token", "")
        end_token = self.tokenizer.special_id(end_text)
        if end_token is None:
            raise LabError(
                f"{model_dir}/tokenizer_config.json: no eos_token, and template {self.template.name} ends a "
                "reply with no special token, so that nothing ends a turn; set one or use another template"
            )
        self.end_token: int = end_token

    def describe(self) -> dict[str, Any]:
        """The template, the default system prompt and the end-of-turn token, for the summary."""
        text = self.shape.injected
        prompt: dict[str, Any] = {"policy": self.policy, "text": text, "token_ids": None}
        if text is None:
            prompt["problem"] = self.shape.problem
        else:
            prompt["token_ids"] = self.tokenizer.encode([text])[0].tolist()
        return {
            "template": self.template.name,
            "default_system_prompt": prompt,
            "end_of_turn_token_id": self.end_token,
            "end_of_turn_in_template": self.has_end_token,
        }

    def batch(self, first: int, conversations: pa.RecordBatch) -> tuple[pa.RecordBatch, Tally]:
        """Streams of conversations number `first`, `first` + 1, … (columns conversation_id, messages)."""
        tally = Tally()
        rows: list[dict[str, Any]] = []
        layouts: list[StreamLayout] = []
        hidden: list[dict[str, str]] = []
        for offset, record in enumerate(conversations.to_pylist()):
            streams, literals = self._lay_out(record, tally)
            layouts += streams
            hidden += [literals] * len(streams)
            head = {
                "conversation": first + offset,
                "conversation_id": record["conversation_id"],
                "first_role": record["messages"][0]["role"] if record["messages"] else "",
            }
            rows += [head] * len(streams)
        tokens = self._encode(layouts, hidden)
        rows = [
            head | self._place(layout, pieces)
            for head, layout, pieces in zip(rows, layouts, tokens, strict=True)
        ]
        tally.counts["streams"] += len(rows)
        tally.counts["tokens"] += sum(len(row["token_ids"]) for row in rows)
        tally.counts["unanswered_turns"] += sum(row["answered"].count(False) for row in rows)
        return pa.RecordBatch.from_pydict(
            {name: [row[name] for row in rows] for name in SCHEMA.names}, schema=SCHEMA
        ), tally

    def _lay_out(self, record: dict[str, Any], tally: Tally) -> tuple[list[StreamLayout], dict[str, str]]:
        tally.counts["conversations"] += 1
        messages, literals = self.messages(record["messages"])
        tally.counts["special_text_conversations"] += bool(literals)
        try:
            streams = lay_out(messages, self.template, self.shape.reply_end, has_end_token=self.has_end_token)
        except TemplateRefusedError as error:
            tally.counts["template_refused"] += 1
            tally.refused_example = tally.refused_example or {
                "conversation_id": record["conversation_id"],
                "message": str(error),
            }
            return [], {}
        turns = sum(len(stream.turns) for stream in streams)
        tally.counts["turns"] += turns
        tally.counts["without_user_turn"] += not turns
        tally.counts["explicit_streams"] += sum(not stream.main for stream in streams)
        return streams, literals

    def messages(self, messages: Sequence[dict[str, str]]) -> tuple[list[Message], dict[str, str]]:
        """Messages as templates expect them, with the literals of special tokens hidden, and the literal of
        each hiding character."""
        texts, literals = self.tokenizer.hide([message["text"] for message in messages])
        return [
            {"role": message["role"], "content": text} for message, text in zip(messages, texts, strict=True)
        ], literals

    def _encode(
        self, layouts: Sequence[StreamLayout], hidden: Sequence[dict[str, str]]
    ) -> list[list[np.ndarray]]:
        """Token ids of every piece of every layout; pieces without literals are encoded in one batch."""
        usual = [
            (piece, place > 0)
            for layout, literals in zip(layouts, hidden, strict=True)
            if not literals
            for place, piece in enumerate(layout.pieces)
        ]
        texts, continues = zip(*usual, strict=True) if usual else ((), ())
        encoded = iter(self.tokenizer.encode(texts, continues))
        return [
            [
                self.tokenizer.encode_hidden(piece, literals) if literals else next(encoded)
                for piece in layout.pieces
            ]
            for layout, literals in zip(layouts, hidden, strict=True)
        ]

    def _place(self, layout: StreamLayout, pieces: Sequence[np.ndarray]) -> dict[str, Any]:
        """The columns of a stream. An output ends with the first end-of-turn token of its piece, or with the
        piece. The last output of a closed stream gets that token where it is missing."""
        starts = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])])
        ids = list(pieces)
        prompts, outputs = [], []
        for turn in layout.turns:
            piece = pieces[turn.reply] if turn.reply < len(pieces) else np.empty(0, np.int32)
            ends = np.flatnonzero(piece == self.end_token)
            length = int(ends[0]) + 1 if len(ends) else len(piece)
            if layout.close and turn is layout.turns[-1] and not len(ends):
                ids.append(np.array([self.end_token], dtype=np.int32))
                length += 1
            prompts.append(int(starts[turn.reply]))
            outputs.append(length)
        return {
            "turns": [turn.number for turn in layout.turns],
            "prompt_tokens": prompts,
            "output_tokens": outputs,
            "answered": [turn.answered for turn in layout.turns],
            "token_ids": np.concatenate(ids),
        }
