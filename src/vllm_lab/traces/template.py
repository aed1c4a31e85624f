"""The chat template: it renders a conversation as the text that a model reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from vllm_lab.common.errors import LabError
from vllm_lab.common.files import read_json

Message = dict[str, str]  # {"role": system|user|assistant, "content": text}, as templates want it
PLAIN = Path(__file__).with_name("plain.jinja")

USER, REPLY, SECOND = "qUserOneq", "qReplyOneq", "qUserTwoq"  # `probe` finds the template's text around them

# Templates may use the date of today. A trace must not change overnight, so they get the date that the
# template of Llama 3 uses by default.
TEMPLATE_DATE = datetime(2024, 7, 26)


class TemplateRefusedError(Exception):
    """The template refuses this conversation, for the order of its roles for example; with its message."""


@dataclass(frozen=True)
class ChatTemplate:
    """A compiled template that renders with the special tokens of the tokenizer, as transformers does.

    `name` is "tokenizer", "plain", or the name of the file. `injected` is the text that the template puts
    before a conversation without a system message and that is cut out; it follows `bos`, which is kept.
    """

    name: str
    template: jinja2.Template
    special_tokens: dict[str, str]
    bos: str = ""
    injected: str = ""

    def render(self, messages: Sequence[Message], *, prompt: bool) -> str:
        """The conversation's text; with `prompt`, ending where the assistant's reply begins.

        Raises TemplateRefusedError with the template's message.
        """
        try:
            text = self.template.render(
                messages=messages,
                tools=None,
                documents=None,
                add_generation_prompt=prompt,
                **self.special_tokens,
            )
        except (jinja2.TemplateError, TypeError) as error:  # TypeError: an operation that Python refuses
            raise TemplateRefusedError(str(error)) from error
        head = self.bos + self.injected
        if self.injected and messages[0]["role"] != "system" and text.startswith(head):
            return self.bos + text.removeprefix(head)
        return text

    def without(self, bos: str, injected: str) -> ChatTemplate:
        """The same template with `injected`, which follows `bos`, cut out of conversations without a system
        message."""
        return replace(self, bos=bos, injected=injected)


def load_template(choice: str, model_dir: Path, special_tokens: dict[str, str]) -> ChatTemplate:
    """The template `choice`: "tokenizer" (chat_template.jinja, or the key of that name in
    tokenizer_config.json; the plain one where both are empty), "plain", or a Jinja file."""
    if choice == "tokenizer":
        source = _tokenizer_template(model_dir)
        if source:
            return ChatTemplate("tokenizer", _compile(source, model_dir), special_tokens)
        return load_template("plain", model_dir, special_tokens)
    path = PLAIN if choice == "plain" else Path(choice)
    try:
        source = path.read_text(encoding="utf-8")
    except OSError as error:
        raise LabError(
            f"chat template {choice!r}: {error.strerror}; give tokenizer, plain or a .jinja file"
        ) from error
    return ChatTemplate("plain" if choice == "plain" else path.name, _compile(source, path), special_tokens)


@dataclass(frozen=True)
class TemplateShape:
    """The text that a template adds around messages.

    `reply_end` follows the last reply. `bos` comes first in the text. `injected` is the default system prompt
    between `bos` and the first user message; it is often empty. Both are None if they cannot be separated,
    and `problem` says why.
    """

    reply_end: str
    bos: str | None
    injected: str | None
    problem: str = ""


def probe(template: ChatTemplate) -> TemplateShape:
    """Find the shape of `template`.

    In [user, assistant], the text E follows the reply. In [user, assistant, user], the text between the reply
    and the second user text is E + U, which gives U, the opening of a user message. In [user], the text
    before the user text is bos + injected + U. LabError if the template cannot render a user message and a
    reply.
    """
    user, reply, second = ({"role": "user", "content": USER}, _reply(), {"role": "user", "content": SECOND})
    try:
        reply_end = _after(template.render([user, reply], prompt=False), REPLY)
    except TemplateRefusedError as error:
        raise LabError(
            f"chat template {template.name}: cannot render a user message and a reply: {error}; "
            "use --chat-template plain"
        ) from error
    try:
        between = _after(template.render([user, reply, second], prompt=False), REPLY).partition(SECOND)[0]
        head = template.render([user], prompt=False).partition(USER)[0]
    except TemplateRefusedError as error:
        return TemplateShape(reply_end, None, None, f"refused to be probed: {error}")
    opening = between.removeprefix(reply_end)
    if not between.startswith(reply_end) or not opening or not head.endswith(opening):
        return TemplateShape(reply_end, None, None, "it does not open every user message alike")
    head = head.removesuffix(opening)
    bos = template.special_tokens.get("bos_token", "")
    if not head.startswith(bos) or opening.startswith(bos):  # ChatML names its message opener as bos_token
        bos = ""
    return TemplateShape(reply_end, bos, head.removeprefix(bos))


def without_system_prompt(template: ChatTemplate, shape: TemplateShape) -> ChatTemplate:
    """`template` without the default system prompt that `shape` found. LabError if it could not be found."""
    if shape.bos is None or shape.injected is None:
        raise LabError(
            f"chat template {template.name}: its default system prompt cannot be found "
            f"({shape.problem}); use --default-system-prompt keep"
        )
    return template.without(shape.bos, shape.injected)


def _tokenizer_template(model_dir: Path) -> str:
    path = model_dir / "chat_template.jinja"
    source = path.read_text(encoding="utf-8") if path.exists() else ""
    if source.strip():
        return source
    source = read_json(model_dir / "tokenizer_config.json").get("chat_template") or ""
    if isinstance(source, list):  # several, by name
        source = next((entry["template"] for entry in source if entry["name"] == "default"), "")
    return source


def _compile(source: str, path: Path) -> jinja2.Template:
    """Compile in the environment of transformers 5.19 (utils/chat_template_utils.py), except for the date."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = TEMPLATE_DATE.strftime
    try:
        return environment.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise LabError(f"{path}: line {error.lineno}: not a chat template: {error.message}") from error


class _GenerationTag(Extension):
    """{% generation %} marks the text of the assistant for training; here it has no effect."""

    tags = {"generation"}  # noqa: RUF012  (Jinja's own declaration)

    def parse(self, parser: Any) -> Any:
        next(parser.stream)
        return parser.parse_statements(["name:endgeneration"], drop_needle=True)


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _tojson(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    """Plain JSON, as chat templates expect it; the filter of Jinja escapes HTML characters."""
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


def _reply() -> Message:
    return {"role": "assistant", "content": REPLY}


def _after(text: str, sentinel: str) -> str:
    before, found, after = text.partition(sentinel)
    if not found:
        raise TemplateRefusedError(f"it leaves out the assistant's text (rendered {before[:80]!r})")
    return after
