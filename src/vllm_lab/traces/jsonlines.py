"""Token traces as JSON Lines: one object a request, for tools outside and from them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from vllm_lab.common import console
from vllm_lab.common.errors import LabError
from vllm_lab.common.files import atomic_path

if TYPE_CHECKING:
    from vllm_lab.traces.trace import Trace

REQUIRED = ("request_id", "arrival_time", "prompt_token_ids", "output_token_ids")


def read_requests(path: str | os.PathLike) -> dict[str, Any]:
    """The keyword arguments of `Trace.from_requests`, in file order.

    Needs request_id (string), arrival_time (s), prompt_token_ids and output_token_ids; priority defaults to
    0, conversation_id to the request_id, turn to 1. Empty lines are passed over; anything else is a LabError
    with the 1-based line and the key.
    """
    requests: dict[str, list[Any]] = {"prompts": [], "outputs": []}
    others = {name: requests.setdefault(name, []) for name in ("request_id", "conversation_id", "turn")}
    times, priorities = requests.setdefault("arrival_time", []), requests.setdefault("priority", [])
    with Path(path).open("rb") as file:
        for line, text in enumerate(file, start=1):
            if text.isspace():
                continue
            record = _parse(path, line, text)
            field = _Reader(path, line, record)
            others["request_id"].append(field("request_id", _is_text, "a string"))
            others["conversation_id"].append(
                field("conversation_id", _is_text, "a string", record["request_id"])
            )
            others["turn"].append(field("turn", _is_int, "an integer", 1))
            times.append(field("arrival_time", _is_number, "seconds >= 0"))
            priorities.append(field("priority", _is_int, "an integer", 0))
            requests["prompts"].append(field.tokens("prompt_token_ids"))
            requests["outputs"].append(field.tokens("output_token_ids"))
    return requests


def write_requests(path: str | os.PathLike, trace: Trace, prompt_text: Callable[[int], str]) -> None:
    """Write one line a request, in the trace's order: request_id, conversation_id, turn, arrival_time,
    priority, prompt_tokens, output_tokens, prompt (`prompt_text` of the row), prompt_token_ids,
    output_token_ids."""
    with atomic_path(path) as partial, partial.open("wb") as file:
        for row in console.progress(range(len(trace)), desc="write", unit="request"):
            record = {
                "request_id": trace.request_id[row],
                "conversation_id": trace.conversation_id[row],
                "turn": int(trace.turn[row]),
                "arrival_time": float(trace.arrival_time[row]),
                "priority": int(trace.priority[row]),
                "prompt_tokens": int(trace.prompt_tokens[row]),
                "output_tokens": int(trace.output_tokens[row]),
                "prompt": prompt_text(row),
                "prompt_token_ids": trace.prompt(row),
                "output_token_ids": trace.output(row),
            }
            file.write(orjson.dumps(record, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE))


class _Reader:
    """One record's fields, checked."""

    def __init__(self, path: str | os.PathLike, line: int, record: dict[str, Any]) -> None:
        self.where, self.record = f"{path}: line {line}", record

    def __call__(self, key: str, good: Callable[[Any], bool], wanted: str, default: Any = None) -> Any:
        value = self.record.get(key, default)
        if not good(value):
            raise LabError(f"{self.where}: {key} is {value!r:.60}, must be {wanted}")
        return value

    def tokens(self, key: str) -> np.ndarray:
        """int32 [n], n >= 1."""
        ids = self(key, _is_list, "a list of token ids, at least one")
        try:
            values = np.array(ids)
        except ValueError:  # lists of unequal length among the ids
            values = np.array(["?"])
        if values.dtype != np.int64 or values.ndim != 1 or values.min() < 0 or values.max() >= 2**31:
            raise LabError(f"{self.where}: {key} holds something other than integers in [0, 2^31)")
        return values.astype(np.int32)


def _parse(path: str | os.PathLike, line: int, text: bytes) -> dict[str, Any]:
    try:
        record = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise LabError(f"{path}: line {line}: not JSON ({error})") from error
    if not isinstance(record, dict):
        raise LabError(f"{path}: line {line}: not an object with {', '.join(REQUIRED)}")
    missing = [key for key in REQUIRED if key not in record]
    if missing:
        raise LabError(f"{path}: line {line}: no {', '.join(missing)}")
    return record


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_int(value: Any) -> bool:
    return type(value) is int and -(2**31) <= value < 2**31


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < float("inf")


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value)
