"""What vLLM and a version of mini_vllm decide in the steps that matter, in words."""

from __future__ import annotations

from collections.abc import Sequence

from vllm_lab.report.blocks import Code, Inline, text
from vllm_lab.report.replays import Account


def first_step(found: Account) -> Inline:
    """The number of the first step that is not vLLM's."""
    return found.number("step", "first_difference", "step", label="first step that differs from vLLM's")


def crash(found: Account) -> tuple[Inline, ...]:
    """The step, the time, the reason, and what had finished."""
    return text(
        "{version} ends in step {step}, at {time}: {reason}. {finished} requests had finished.",
        version=found.version,
        step=found.number("step", "crash", "step", label="step in which it ended"),
        time=found.number("s", "crash", "time", label="time at which it ended"),
        reason=Code(found.value("crash", "reason")),
        finished=found.number("requests", "crash", "finished", label="requests finished when it ended"),
    ).parts


def instead(found: Account) -> tuple[Inline, ...]:
    """What vLLM does in the step in which v1 ends; the two agree up to there, or not."""
    step = found.step("crash", "vllm")
    first = found.value("first_difference", "step")
    if step is None or first < found.value("crash", "step"):
        return text(
            "vLLM's run was another one by then: the first difference is in step {first}.",
            first=first_step(found),
        ).parts
    free = found.in_step("blocks", "crash", "vllm", name="free_blocks", label="vLLM's free blocks after it")
    return (
        "vLLM, whose steps are the same up to there, preempts ",
        *_names(step["preempted"]),
        " in this step, goes on with the others and has ",
        free,
        " free blocks at its end.",
    )


def difference(found: Account) -> tuple[Inline, ...]:
    """Both sides of the first step that differs, in words."""
    vllm, mini = (found.step("first_difference", side) for side in ("vllm", "mini"))
    if vllm is None:
        return (f"vLLM has no step any more, {found.version} has one.",)
    clauses: list[tuple[Inline, ...]] = []
    for field, verb in (("preempted", "preempts"), ("finished", "finishes"), ("evicted", "evicts")):
        if vllm[field] != mini[field]:
            ours = (f", {found.version} ", *_names(mini[field]))
            clauses.append((f"vLLM {verb} ", *_names(vllm[field]), *ours))
    clauses += _scheduled(vllm["scheduled"], mini["scheduled"], found.version)
    if vllm["free_blocks"] != mini["free_blocks"]:
        left, right = (
            found.in_step(
                "blocks", "first_difference", side, name="free_blocks", label=f"{who} free blocks after"
            )
            for side, who in (("vllm", "vLLM's"), ("mini", "its"))
        )
        clauses.append(("afterwards vLLM has ", left, f" free blocks, {found.version} ", right))
    if not clauses:
        clauses.append(("the same is done at another time",))
    joined = [part for clause in clauses for part in ("; ", *clause)]
    return (*joined[1:], ".")


def _scheduled(vllm: dict[str, int], mini: dict[str, int], version: str) -> list[tuple[Inline, ...]]:
    """Who runs on one side alone, or with other numbers of tokens, or in another order."""
    clauses: list[tuple[Inline, ...]] = []
    for who, mine, other in (("vLLM", vllm, mini), (version, mini, vllm)):
        alone = [name for name in mine if name not in other]
        if alone:
            clauses.append((f"{who} alone schedules ", *_names(alone)))
    uneven = [name for name in vllm if name in mini and vllm[name] != mini[name]]
    if uneven:
        clauses.append(("other numbers of tokens are scheduled for ", *_names(uneven)))
    if not clauses and list(vllm) != list(mini):
        clauses.append(("the same requests are scheduled in another order",))
    return clauses


def _names(names: Sequence[str], most: int = 3) -> tuple[Inline, ...]:
    """Requests or blocks by name; nothing, and more than a sentence can hold, in words."""
    if not names:
        return ("nothing",)
    parts = [part for name in names[:most] for part in (", ", Code(name))][1:]
    return (*parts, f" and {len(names) - most} more") if len(names) > most else tuple(parts)
