"""A run's decisions as lines of text, without times, so that `diff` shows where two runs part."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from mini_vllm.tools.records import Step
from vllm_lab.common import files


def write_events(path: str | os.PathLike, steps: Iterable[Step]) -> None:
    """Write the lines of `events`, whole or not at all."""
    files.write_text(path, "".join(f"{line}\n" for line in events(steps)))


def events(steps: Iterable[Step]) -> Iterator[str]:
    """A line for each request that starts, comes back, is preempted or finishes, and for evicted blocks.

    `tokens` are those scheduled in the step in which a request starts: its prompt less what the cache had,
    or the first chunk of it. Steps in which everybody just goes on have no line.
    """
    known: set[str] = set()
    running: set[str] = set()
    for step in steps:
        head = f"step {step.step}"
        for name in step.preempted:
            running.discard(name)
            yield f"{head} preempt {name}"
        if step.evicted:
            yield f"{head} evict {len(step.evicted)} blocks"
        for name, tokens in step.scheduled.items():
            if name not in running:
                yield f"{head} {'resume' if name in known else 'start'} {name} tokens {tokens}"
        running.update(step.scheduled)
        known.update(step.scheduled)
        for name in step.finished:
            running.discard(name)
            yield f"{head} finish {name}"
