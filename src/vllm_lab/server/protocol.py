"""Requests and replies as OpenAI's clients write and read them, and the texts that become tokens and back.

Sampling parameters (temperature, top_p, seed, stop …) are accepted and ignored, because nothing is sampled.
"""

import codecs
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from vllm_lab.engines.settings import FORCED_TOKENS
from vllm_lab.traces.streams import StreamMaker
from vllm_lab.traces.template import Message, TemplateRefusedError, load_template
from vllm_lab.traces.trace import Trace

Decoder = Callable[[int], str]  # takes one token after the other; gives "" while a character is incomplete
FILLER = (
    "This server has no model: it decides as an engine would, takes as long, and says these words. "
    "Give it a trace whose prompts it is asked, and it answers what the trace holds. "
)
UNASKED_TOKENS = 64  # of filler, if the client sets no limit
COMPLETIONS_MAX_TOKENS = 16  # OpenAI's and vLLM's default for /v1/completions
LARGEST_TOKEN = 2**31 - 1


class TokenizerTexts:
    """The tokenizer and chat template of `model_dir`, as for the traces, without a default system prompt."""

    def __init__(self, model_dir: Path) -> None:
        self._maker = StreamMaker(model_dir, "tokenizer", "drop")

    def encode(self, text: str) -> list[int]:
        """Token ids of a prompt given as text."""
        return self._maker.tokenizer.encode([text])[0].tolist()

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a prompt that ends where the assistant's reply begins. TemplateRefusedError."""
        texts = [{"role": message["role"], "text": message["content"]} for message in messages]
        chat, hidden = self._maker.messages(texts)
        prompt = self._maker.template.render(chat, prompt=True)
        return self._maker.tokenizer.encode_hidden(prompt, hidden).tolist()

    def decoder(self) -> Decoder:
        """A decoder for one answer."""
        return self._maker.tokenizer.decoder()


class ByteTexts:
    """The same without a tokenizer: a token is a byte of UTF-8. A trace's ids from 256 on appear as <id>."""

    def __init__(self) -> None:
        self._template = load_template("plain", Path(), {})

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        return self.encode(self._template.render(messages, prompt=True))

    def decoder(self) -> Decoder:
        decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        return lambda token: decode(bytes([token])) if token < 256 else f"<{token}>"


Texts = TokenizerTexts | ByteTexts


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


class BadRequestError(Exception):
    """The client's mistake; the message names the field."""


@dataclass(frozen=True)
class Question:
    """The content of a request's body."""

    prompt: list[int]  # token ids, >= 1
    max_tokens: int | None
    ignore_eos: bool
    priority: int
    forced: list[int] | None  # the output, from vllm_xargs, as for vllm_lab.engines.plugins
    stream: bool
    include_usage: bool


def read(body: Any, texts: Texts, *, chat: bool) -> Question:
    """Check and read a body. BadRequestError."""
    if not isinstance(body, dict):
        raise BadRequestError("the body must be a JSON object")
    if body.get("n") not in (None, 1):
        raise BadRequestError("n: this server gives one answer to each request")
    names = ("max_completion_tokens", "max_tokens") if chat else ("max_tokens",)
    limit = next((name for name in names if body.get(name) is not None), None)
    default = None if chat else COMPLETIONS_MAX_TOKENS
    options = _field(body, "stream_options", dict, {})
    extra = _field(body, "vllm_xargs", dict, {})
    return Question(
        prompt=_messages(body, texts) if chat else _prompt(body, texts),
        max_tokens=default if limit is None else _count(limit, body[limit]),
        ignore_eos=_field(body, "ignore_eos", bool, False),
        priority=_field(body, "priority", int, 0),
        forced=_ids(f"vllm_xargs.{FORCED_TOKENS}", extra[FORCED_TOKENS]) if FORCED_TOKENS in extra else None,
        stream=_field(body, "stream", bool, False),
        include_usage=_field(options, "include_usage", bool, False),
    )


def _field(body: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    value = body.get(name)
    if value is None:
        return default
    if type(value) is not kind:  # true is no number
        raise BadRequestError(f"{name}: found {type(value).__name__}, must be {kind.__name__}")
    return value


def _count(name: str, value: Any) -> int:
    if type(value) is not int or value < 1:
        raise BadRequestError(f"{name}: found {value!r}, must be a whole number of at least 1")
    return value


def _ids(name: str, value: Any) -> list[int]:
    good = isinstance(value, list) and value
    if not good or not all(type(item) is int and 0 <= item <= LARGEST_TOKEN for item in value):
        raise BadRequestError(f"{name}: must be a list of token ids, at least one")
    return value


def _prompt(body: Mapping[str, Any], texts: Texts) -> list[int]:
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        prompt = prompt[0]  # a batch of one
    if isinstance(prompt, str) and prompt:
        return texts.encode(prompt)
    return _ids("prompt (text, or one prompt's token ids)", prompt)


def _messages(body: Mapping[str, Any], texts: Texts) -> list[int]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequestError("messages: must be a list of at least one message")
    try:
        prompt = texts.encode_chat([_message(message) for message in messages])
    except TemplateRefusedError as error:
        raise BadRequestError(f"messages: the chat template refuses them: {error}") from error
    if not prompt:
        raise BadRequestError("messages: they contain no token")
    return prompt


def _message(message: Any) -> dict[str, str]:
    role = message.get("role") if isinstance(message, dict) else None
    if role not in ("system", "user", "assistant"):
        raise BadRequestError(f"messages: found role {role!r}, must be system, user or assistant")
    content = message.get("content")
    if isinstance(content, list):  # content parts
        if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in content):
            raise BadRequestError("messages: content parts must be text")
        content = "".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise BadRequestError("messages: content must be text")
    return {"role": role, "content": content}


@dataclass(frozen=True)
class Reply:
    """The bodies of one reply. `finish_reason` is length or stop."""

    id: str
    model: str
    created: int  # s since 1970
    chat: bool
    prompt_tokens: int
    finish_reason: str

    def whole(self, text: str, usage: dict[str, Any]) -> dict[str, Any]:
        """The whole reply."""
        content = {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        return self._body(content, self.finish_reason, streamed=False) | {"usage": usage}

    def chunk(self, text: str, *, first: bool, last: bool) -> dict[str, Any]:
        """The chunk of a stream for one token."""
        role = {"role": "assistant"} if first else {}
        content = {"delta": {**role, "content": text}} if self.chat else {"text": text}
        return self._body(content, self.finish_reason if last else None, streamed=True)

    def usage_chunk(self, usage: dict[str, Any]) -> dict[str, Any]:
        """The chunk after the last token."""
        return self._head(streamed=True) | {"choices": [], "usage": usage}

    def usage(self, output_tokens: int, cached_tokens: int) -> dict[str, Any]:
        """The token counts."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": output_tokens,
            "total_tokens": self.prompt_tokens + output_tokens,
            "prompt_tokens_details": {"cached_tokens": cached_tokens},
        }

    def _head(self, *, streamed: bool) -> dict[str, Any]:
        kind = ("chat.completion" + (".chunk" if streamed else "")) if self.chat else "text_completion"
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _body(self, content: dict[str, Any], finish: str | None, *, streamed: bool) -> dict[str, Any]:
        choice = {"index": 0, **content, "logprobs": None, "finish_reason": finish}
        return self._head(streamed=streamed) | {"choices": [choice]}


def event(body: dict[str, Any] | str) -> str:
    """One server-sent event."""
    return f"data: {body if isinstance(body, str) else json.dumps(body)}\n\n"


def error_body(error: Exception, code: int) -> dict[str, Any]:
    """An error in the form that OpenAI's clients expect. `code`: the HTTP status."""
    kind = "BadRequestError" if code == 400 else "InternalServerError"
    return {"error": {"message": str(error), "type": kind, "param": None, "code": code}}
