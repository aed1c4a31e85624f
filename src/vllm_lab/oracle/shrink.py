"""Making a failing case small: drop requests, then lower numbers, for as long as it still fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from mini_vllm.clock import Clock
from mini_vllm.errors import MiniError
from mini_vllm.limits import Limits
from vllm_lab.oracle.cases import Ask, Case


def shrink(case: Case, fails: Callable[[Case], bool], tries: int = 2000) -> Case:
    """The smallest failing case found within `tries` calls of `fails`, which holds for `case` itself."""
    while True:
        for smaller in _smaller(case):
            if tries == 0:
                return case
            tries -= 1
            if fails(smaller):
                case = smaller
                break
        else:
            return case


def _smaller(case: Case) -> Iterator[Case]:
    """Simpler cases, the boldest first."""
    yield from _fewer_requests(case)
    for index, ask in enumerate(case.asks):
        for simpler in _simpler_asks(ask):
            yield replace(case, asks=(*case.asks[:index], simpler, *case.asks[index + 1 :]))
    for limits in _simpler_limits(case.limits):
        yield replace(case, limits=limits)


def _fewer_requests(case: Case) -> Iterator[Case]:
    """Without a run of requests: halves first, single ones last."""
    size = len(case.asks) // 2
    while size:
        for start in range(0, len(case.asks), size):
            yield replace(case, asks=case.asks[:start] + case.asks[start + size :])
        size //= 2


def _simpler_asks(ask: Ask) -> Iterator[Ask]:
    for name, least in (("arrival", 0.0), ("priority", 0), ("stream", 0)):
        if getattr(ask, name) != least:
            yield replace(ask, **{name: least})
    for name, least in (("output", 1), ("own", 0), ("shared", 0)):
        for value in _lower(getattr(ask, name), least):
            simpler = replace(ask, **{name: value})
            if simpler.prompt_tokens >= 1:
                yield simpler


def _simpler_limits(limits: Limits) -> Iterator[Limits]:
    changes = [{"policy": "fcfs"}, {"chunked_prefill": True}, {"clock": Clock(1.0, 0.0, 0.0)}]
    changes += [{"num_blocks": value} for value in _lower(limits.num_blocks, 2)]
    changes += [{"max_num_seqs": value} for value in _lower(limits.max_num_seqs, 1)]
    changes += [{"max_num_batched_tokens": value} for value in _lower(limits.max_num_batched_tokens, 1)]
    for change in changes:
        if any(getattr(limits, name) != value for name, value in change.items()):
            try:
                yield replace(limits, **change)
            except MiniError:
                continue  # not a set of limits that vLLM takes: nothing to try


def _lower(value: int, least: int) -> Iterator[int]:
    """Numbers from `least` up to value - 1, the distance halved each time."""
    distance = value - least
    while distance > 0:
        yield value - distance
        distance //= 2
