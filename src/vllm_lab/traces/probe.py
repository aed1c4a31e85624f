"""What a chat template puts around messages, found by rendering sentinels."""

from __future__ import annotations

from dataclasses import dataclass

from vllm_lab.common.errors import LabError
from vllm_lab.traces.template import ChatTemplate, Message, TemplateRefusedError

USER, REPLY, SECOND = "qUserOneq", "qReplyOneq", "qUserTwoq"


@dataclass(frozen=True)
class TemplateShape:
    """`reply_end`: text after the last reply. `bos`, `injected`: text before the first user message's
    opening, the default system prompt that the template brings by itself (often empty); both None if
    `problem` says why they could not be told apart."""

    reply_end: str
    bos: str | None
    injected: str | None
    problem: str = ""


def probe(template: ChatTemplate) -> TemplateShape:
    """Find the shape of `template`.

    After the reply in [user, assistant] stands E. Between the reply and the second user text in [user,
    assistant, user] stands E + U, so U, which opens a user message, is known. Before the text in [user]
    stands bos + injected + U. LabError if the template cannot render a user message and a reply.
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
            f"chat template {template.name}: its default system prompt cannot be told apart "
            f"({shape.problem}); use --default-system-prompt keep"
        )
    return template.without(shape.bos, shape.injected)


def _reply() -> Message:
    return {"role": "assistant", "content": REPLY}


def _after(text: str, sentinel: str) -> str:
    before, found, after = text.partition(sentinel)
    if not found:
        raise TemplateRefusedError(f"it leaves out the assistant's text (rendered {before[:80]!r})")
    return after
