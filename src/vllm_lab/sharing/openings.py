"""One trace with different openings: what stands in every prompt before the first message's text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from vllm_lab.common.errors import LabError
from vllm_lab.sharing.stream_order import StreamOrder
from vllm_lab.traces.trace import Trace


def openings(trace: Trace, default_system_prompt: dict[str, Any]) -> Iterator[tuple[str, Trace]]:
    """(opening, trace) for the chat template's default system prompt, only the role's marker, and nothing.

    default_system_prompt is that of the tokens' summary (policy keep or drop, token_ids); the first opening
    is absent if the template has none. Every conversation must begin with a user message.
    """
    ids = default_system_prompt["token_ids"]
    if ids and default_system_prompt["policy"] == "drop":
        yield "default_system_prompt", _prepended(trace, ids)
    elif ids:
        yield "default_system_prompt", trace
        trace = _cut(trace, ids)
    yield "role_marker", trace
    yield "bare", _cut(trace, _common_opening(trace))


def _prepended(trace: Trace, ids: Sequence[int]) -> Trace:
    """The trace with `ids` before every stream."""
    streams = np.insert(
        trace.stream_ids, np.repeat(trace.stream_offsets[:-1], len(ids)), ids * trace.num_streams
    )
    return _with_streams(trace, streams, len(ids))


def _common_opening(trace: Trace) -> list[int]:
    """The ids that all streams begin with (of which every prompt keeps one)."""
    shared = int(StreamOrder.of(trace).shared[1:].min(initial=trace.prompt_tokens.min() - 1))
    return trace.stream_of(0)[:shared].tolist()


def _cut(trace: Trace, ids: Sequence[int]) -> Trace:
    """The trace without `ids`, with which every stream must begin."""
    at = trace.stream_offsets[:-1, None] + np.arange(len(ids))
    if (np.diff(trace.stream_offsets) <= len(ids)).any() or (trace.stream_ids[at] != ids).any():
        raise LabError(
            "a stream does not begin with the default system prompt that the tokens' summary names; "
            "run the rule tokens again, so that the two come from one run"
        )
    return _with_streams(trace, np.delete(trace.stream_ids, at.ravel()), -len(ids))


def _with_streams(trace: Trace, stream_ids: np.ndarray, longer: int) -> Trace:
    columns = {name: getattr(trace, name) for name in Trace.__dataclass_fields__}
    columns["stream_ids"] = stream_ids
    columns["stream_offsets"] = trace.stream_offsets + longer * np.arange(trace.num_streams + 1)
    columns["prompt_tokens"] = trace.prompt_tokens + longer
    return Trace(**columns)
