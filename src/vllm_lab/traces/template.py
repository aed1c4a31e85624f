"""The chat template: it renders a conversation as the text that a model reads, and lays it out in streams."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
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
    spoken = (("user", USER), ("assistant", REPLY), ("user", SECOND))
    user, reply, second = ({"role": role, "content": text} for role, text in spoken)
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
    return replace(template, bos=shape.bos, injected=shape.injected)


@dataclass(frozen=True)
class TurnPlace:
    """A user turn in a stream: its prompt is all pieces before number `reply`; its output begins that piece.

    `reply` may be one past the last piece; then the reply is the end-of-turn token alone.
    """

    number: int  # 1-based user turn
    reply: int
    answered: bool


@dataclass
class StreamLayout:
    """One stream: its text in pieces that are tokenised separately, and the turns on it.

    `close`: the output of the last turn ends with the stream, and the end-of-turn token must be added there.
    `main`: the stream is the whole conversation, and not one turn that is not on the main stream.
    """

    pieces: list[str] = field(default_factory=list)
    turns: list[TurnPlace] = field(default_factory=list)
    close: bool = False
    main: bool = True


@dataclass(frozen=True)
class _Turn:
    """A user turn rendered: its prompt, and the conversation up to its reply (None where none follows)."""

    number: int
    prompt: str
    reply: str | None  # the reply's raw text; None where no assistant message follows
    through: str  # rendering through the reply; the prompt itself where there is none


def lay_out(
    messages: Sequence[Message], template: ChatTemplate, reply_end: str, *, has_end_token: bool
) -> list[StreamLayout]:
    """The streams of a conversation: the main one first, then one for each turn that is not on it.

    The main stream is the whole conversation as the template renders it. A turn is on it if the main text
    begins with the prompt of the turn, and with the prompt plus the reply, as they were rendered at that
    turn. A template that rewrites history (that leaves out earlier reasoning, for example) breaks this, and
    so does a user message without a reply. The main text is cut at the ends of the prompts, and also at the
    ends of the replies unless `has_end_token` (a special token ends a reply and can be found among the
    tokens). A main stream without turns is left out. Raises TemplateRefusedError.
    """
    turns = list(_turns(messages, template))
    if not turns:
        return []
    waiting = messages[-1]["role"] == "user"
    main = turns[-1].prompt if waiting else template.render(messages, prompt=False)
    on_main = [turn for turn in turns if _lies_on(main, turn, reply_end, has_end_token)]
    streams = [_main_layout(main, on_main, reply_end, has_end_token, close=waiting)] if on_main else []
    placed = {turn.number for turn in on_main}
    return streams + [_own_layout(turn, reply_end) for turn in turns if turn.number not in placed]


def _turns(messages: Sequence[Message], template: ChatTemplate) -> Iterator[_Turn]:
    users = [index for index, message in enumerate(messages) if message["role"] == "user"]
    for number, index in enumerate(users, start=1):
        prompt = template.render(messages[: index + 1], prompt=True)
        replied = index + 1 < len(messages) and messages[index + 1]["role"] == "assistant"
        if replied:
            through = template.render(messages[: index + 2], prompt=False)
            yield _Turn(number, prompt, messages[index + 1]["content"], through)
        else:
            yield _Turn(number, prompt, None, prompt)


def _lies_on(main: str, turn: _Turn, reply_end: str, has_end_token: bool) -> bool:
    if turn.reply is None:  # its output is one end-of-turn token, which fits only at the end of the stream
        return main == turn.prompt
    if not has_end_token and turn.through.removesuffix(reply_end) == turn.prompt:  # an empty reply: the same
        return False
    return turn.through.startswith(turn.prompt) and main.startswith(turn.through)


def _main_layout(
    main: str, turns: Sequence[_Turn], reply_end: str, has_end_token: bool, *, close: bool
) -> StreamLayout:
    cuts = {len(turn.prompt) for turn in turns}
    if not has_end_token:
        cuts |= {len(turn.through.removesuffix(reply_end)) for turn in turns if turn.reply is not None}
    bounds = [0, *sorted(cuts - {0, len(main)}), len(main)]
    piece_at = {start: index for index, start in enumerate(bounds)}
    return StreamLayout(
        [main[start:stop] for start, stop in pairwise(bounds)],
        [TurnPlace(turn.number, piece_at[len(turn.prompt)], bool(turn.reply)) for turn in turns],
        close,
    )


def _own_layout(turn: _Turn, reply_end: str) -> StreamLayout:
    """Prompt and reply of one turn. The reply is its raw text where the generation prompt of the template
    differs from what it renders before a reply (because it ends in `<think>`, for example)."""
    reply = turn.reply or ""
    if reply and turn.through.startswith(turn.prompt):
        reply = turn.through.removeprefix(turn.prompt).removesuffix(reply_end)
    pieces = [turn.prompt, reply] if reply else [turn.prompt]
    return StreamLayout(pieces, [TurnPlace(turn.number, 1, bool(turn.reply))], close=True, main=False)


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


def _after(text: str, sentinel: str) -> str:
    before, found, after = text.partition(sentinel)
    if not found:
        raise TemplateRefusedError(f"it leaves out the assistant's text (rendered {before[:80]!r})")
    return after
