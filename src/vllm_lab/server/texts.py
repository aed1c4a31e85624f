"""Texts and tokens: a tokenizer or bytes, and the output that each prompt is answered with."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Protocol

import numpy as np

from vllm_lab.traces.streams import StreamMaker
from vllm_lab.traces.template import Message, load_template
from vllm_lab.traces.trace import Trace

Decoder = Callable[[int], str]  # takes one token after the other; gives "" while a character is incomplete
FILLER = (
    "This server has no model: it decides as an engine would, takes as long, and says these words. "
    "Give it a trace whose prompts it is asked, and it answers what the trace holds. "
)
UNASKED_TOKENS = 64  # of filler, if the client sets no limit


class Texts(Protocol):
    """How a server reads and writes text."""

    def encode(self, text: str) -> list[int]:
        """Token ids of a prompt given as text."""

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a prompt that ends where the assistant's reply begins. TemplateRefusedError."""

    def decoder(self) -> Decoder:
        """A decoder for one answer."""


class TokenizerTexts:
    """The tokenizer and chat template of `model_dir`, as for the traces, without a default system prompt."""

    def __init__(self, model_dir: Path) -> None:
        self._maker = StreamMaker(model_dir, "tokenizer", "drop")

    def encode(self, text: str) -> list[int]:
        return self._maker.tokenizer.encode([text])[0].tolist()

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        chat, hidden = self._maker.messages(
            [{"role": message["role"], "text": message["content"]} for message in messages]
        )
        prompt = self._maker.template.render(chat, prompt=True)
        return self._maker.tokenizer.encode_hidden(prompt, hidden).tolist()

    def decoder(self) -> Decoder:
        return self._maker.tokenizer.decoder()


class ByteTexts:
    """A token is a byte of UTF-8. Token ids from 256 on, from a trace with a tokenizer, appear as <id>."""

    def __init__(self) -> None:
        self._template = load_template("plain", Path(), {})

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        return self.encode(self._template.render(messages, prompt=True))

    def decoder(self) -> Decoder:
        decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        return lambda token: decode(bytes([token])) if token < 256 else f"<{token}>"


class Outputs:
    """The output of each prompt: the trace's, or else filler. The same prompt always gets the same output.

    If several requests of the trace have the same prompt, it gets the first request's output.
    """

    def __init__(self, texts: Texts, trace: Trace | None = None) -> None:
        self._filler = texts.encode(FILLER)
        self._outputs: dict[bytes, list[int]] = {}
        for row in range(len(trace) if trace else 0):
            self._outputs.setdefault(_key(trace.prompt(row)), trace.output(row).tolist())

    def tokens(self, prompt: Sequence[int], most: int | None, ignore_end: bool) -> list[int]:
        """At most `most` tokens. With `ignore_end` exactly so many: filler follows the trace's output."""
        key = _key(prompt)
        known = self._outputs.get(key, [])
        if known and not (ignore_end and most):
            return known[:most]
        start = int.from_bytes(key[:8]) % len(self._filler)
        filler = islice(cycle(self._filler), start, None)
        length = most or UNASKED_TOKENS
        return known[:length] + list(islice(filler, max(0, length - len(known))))


def _key(prompt: Sequence[int]) -> bytes:
    return hashlib.sha256(np.asarray(prompt, "<i4").tobytes()).digest()
