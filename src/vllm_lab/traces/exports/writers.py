"""A trace written in each format; the same trace always gives the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from vllm_lab.common.files import atomic_path, write_csv
from vllm_lab.traces.block_paths import BlockPaths, cached_blocks, hash_ids
from vllm_lab.traces.prefix_tree import StreamOrder
from vllm_lab.traces.prompts import Prompts
from vllm_lab.traces.trace import Trace

ROLES = {"user": "human", "assistant": "gpt", "system": "system"}


@dataclass(frozen=True)
class Source:
    """A trace, and the texts of its prompts where it is one of ours."""

    trace: Trace
    block_size: int  # tokens a hash stands for
    prompts: Prompts | None = None

    @cached_property
    def last_turns(self) -> dict[str, int]:
        """conversation_id -> the last of its turns in the trace; in the order in which they start."""
        turns: dict[str, int] = {}
        for name, turn in zip(self.trace.conversation_id, self.trace.turn.tolist(), strict=True):
            turns[name] = max(turn, turns.get(name, 0))
        return turns

    def conversations(self) -> Iterator[tuple[str, list[dict[str, str]]]]:
        """Id and messages (role, text) of each conversation, as far as the trace has it, replies and all."""
        for name, turn in self.last_turns.items():
            yield name, self.prompts.conversation(name, turn)


def write(path: Path, format: str, source: Source) -> int:
    """Write `source` in one of FORMATS; how many records that are."""
    return _WRITERS[format](path, source)


def _mooncake(path: Path, source: Source) -> int:
    trace, paths = source.trace, hash_ids(source.trace, source.block_size)
    return _lines(
        path,
        (
            {
                "timestamp": round(1000 * float(trace.arrival_time[row])),
                "input_length": int(trace.prompt_tokens[row]),
                "output_length": int(trace.output_tokens[row]),
                "hash_ids": ids,
            }
            for row, ids in enumerate(_split(paths))
        ),
    )


def _custom(path: Path, source: Source) -> int:
    tokens = source.trace.output_tokens.tolist()
    return _lines(
        path,
        ({"prompt": source.prompts.text(row), "output_tokens": count} for row, count in enumerate(tokens)),
    )


def _sharegpt(path: Path, source: Source) -> int:
    return _array(
        path,
        (
            {
                "id": name,
                "conversations": [{"from": ROLES[one["role"]], "value": one["text"]} for one in messages],
            }
            for name, messages in source.conversations()
        ),
    )


def _messages(path: Path, source: Source) -> int:
    return _array(
        path,
        (
            {
                "id": name,
                "messages": [{"role": one["role"], "content": one["text"]} for one in answered],
            }
            for name, messages in source.conversations()
            if (answered := _taking_turns(messages))
        ),
    )


def _taking_turns(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """The messages up to the last reply; none where user and assistant do not take turns, user first."""
    answered = messages[: len(messages) // 2 * 2]
    wanted = ["user", "assistant"] * (len(messages) // 2 + 1)
    return answered if [one["role"] for one in messages] == wanted[: len(messages)] else []


def _vidur(path: Path, source: Source) -> int:
    trace = source.trace
    columns = (trace.arrival_time.tolist(), trace.prompt_tokens.tolist(), trace.output_tokens.tolist())
    write_csv(path, ("arrived_at", "num_prefill_tokens", "num_decode_tokens"), zip(*columns, strict=True))
    return len(trace)


def _llmservingsim(path: Path, source: Source) -> int:
    trace = source.trace
    return _lines(
        path,
        (
            {
                "input_toks": int(trace.prompt_tokens[row]),
                "output_toks": int(trace.output_tokens[row]),
                "arrival_time_ns": round(1e9 * float(trace.arrival_time[row])),
                "input_tok_ids": trace.prompt(row),
                "output_tok_ids": trace.output(row),
            }
            for row in range(len(trace))
        ),
    )


def _libcachesim(path: Path, source: Source) -> int:
    paths = cached_blocks(source.trace, StreamOrder.of(source.trace), source.block_size)
    seconds = source.trace.arrival_time.astype(np.int64).tolist()
    rows = (
        (seconds[row], block, 1) for row, blocks in enumerate(_split(paths)) for block in reversed(blocks)
    )
    write_csv(path, ("time", "obj_id", "obj_size"), rows)
    return len(paths.block)


_WRITERS: dict[str, Callable[[Path, Source], int]] = {
    "mooncake": _mooncake,
    "custom": _custom,
    "sharegpt": _sharegpt,
    "messages": _messages,
    "vidur": _vidur,
    "llmservingsim": _llmservingsim,
    "libcachesim": _libcachesim,
}


def _split(paths: BlockPaths) -> Iterator[list[int]]:
    """Each request's block numbers."""
    blocks = paths.block.tolist()
    for start, end in pairwise(paths.offsets.tolist()):
        yield blocks[start:end]


def _lines(path: Path, records: Iterable[dict[str, Any]]) -> int:
    """JSON Lines; how many."""
    return _join(path, records, b"", b"\n", b"\n")


def _array(path: Path, records: Iterable[dict[str, Any]]) -> int:
    """One JSON array, a line a record; how many."""
    return _join(path, records, b"[\n", b",\n", b"\n]\n")


def _join(path: Path, records: Iterable[dict[str, Any]], head: bytes, between: bytes, tail: bytes) -> int:
    count = 0
    with atomic_path(path) as partial, partial.open("wb") as file:
        file.write(head)
        for count, record in enumerate(records, start=1):
            file.write(between if count > 1 else b"")
            file.write(orjson.dumps(record, option=orjson.OPT_SERIALIZE_NUMPY))
        file.write(tail)
    return count
