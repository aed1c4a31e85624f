"""Text to token ids and back: with a checkpoint's tokenizer, or byte by byte where there is none."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from vllm_lab.traces.streams import StreamMaker
from vllm_lab.traces.template import Message, load_template

Decoder = Callable[[int], str]  # one token after the other, "" while a character is incomplete


class Texts(Protocol):
    """How a server reads and writes text."""

    def encode(self, text: str) -> list[int]:
        """Token ids of a prompt given as text."""

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a prompt that ends where the assistant's reply begins. TemplateRefusedError."""

    def decoder(self) -> Decoder:
        """A decoder for one answer."""


class TokenizerTexts:
    """As the traces are made: the tokenizer and chat template of `model_dir`, no default system prompt."""

    def __init__(self, model_dir: Path) -> None:
        self._maker = StreamMaker(model_dir, "tokenizer", "drop")

    def encode(self, text: str) -> list[int]:
        return self._maker.tokenizer.encode([text])[0].tolist()

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        chat, hidden = self._maker.messages(
            [{"role": message["role"], "text": message["content"]} for message in messages]
        )
        return self._maker.tokenizer.encode_hidden(
            self._maker.template.render(chat, prompt=True), hidden
        ).tolist()

    def decoder(self) -> Decoder:
        return self._maker.tokenizer.decoder()


class ByteTexts:
    """A token is a byte of UTF-8. Ids from 256 on, of a trace that has a tokenizer, are written <id>."""

    def __init__(self) -> None:
        self._template = load_template("plain", Path(), {})

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        return self.encode(self._template.render(messages, prompt=True))

    def decoder(self) -> Decoder:
        decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        return lambda token: decode(bytes([token])) if token < 256 else f"<{token}>"
