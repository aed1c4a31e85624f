"""The layout of a conversation in streams: the text to tokenise, where it is cut, and where turns end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from vllm_lab.traces.template import ChatTemplate, Message


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
    number = 0
    for index, message in enumerate(messages):
        if message["role"] != "user":
            continue
        number += 1
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
