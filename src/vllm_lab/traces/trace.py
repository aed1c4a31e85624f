"""The trace: requests in order of arrival. A prompt is a prefix of a token stream, its output follows it."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from vllm_lab.common import console
from vllm_lab.common.errors import LabError
from vllm_lab.traces import trace_file

PERCENTILES = (50, 90, 95, 99)  # of lengths, in the summary


@dataclass(frozen=True, eq=False)
class Trace:
    """R requests over S streams. All arrays are read-only; rows are in order of arrival, then of
    conversation.

    The prompt of a request is `stream[:prompt_tokens]` and its output is the `output_tokens` ids that follow,
    so nothing is stored twice. Streams are numbered in the order in which the rows first use them. They are
    stored one after the other in `stream_ids`; stream s is
    `stream_ids[stream_offsets[s]:stream_offsets[s + 1]]`.

    `unit` (in `metadata`) says what a stream is made of: "token" (token ids) or "block". An imported trace of
    blocks has one id for every `block_tokens` prompt tokens, also for a partial last block, and no output
    ids. prompt_tokens and output_tokens count tokens in both.
    """

    request_id: Sequence[str]  # [R], distinct
    conversation_id: Sequence[str]  # [R]
    turn: np.ndarray  # int32 [R], 1-based user turn
    arrival_time: np.ndarray  # float64 [R], seconds, ascending, >= 0
    priority: np.ndarray  # int32 [R], vLLM's: smaller is served earlier
    prompt_tokens: np.ndarray  # int32 [R], >= 1
    output_tokens: np.ndarray  # int32 [R], >= 1
    stream: np.ndarray  # int32 [R], in [0, S)
    stream_ids: np.ndarray  # int32 [sum of stream lengths]
    stream_offsets: np.ndarray  # int64 [S + 1]
    metadata: dict[str, Any] = field(default_factory=lambda: {"mode": "imported", "unit": "token"})

    def __post_init__(self) -> None:
        kinds = trace_file.NUMBERS | {"stream_ids": np.int32, "stream_offsets": np.int64}
        for name, kind in kinds.items():
            # A view, so that the array of the caller stays writable.
            column = np.ascontiguousarray(getattr(self, name), dtype=kind).view()
            column.setflags(write=False)
            object.__setattr__(self, name, column)
        self._check_columns()
        self._check_rows()
        self._check_streams()

    def __len__(self) -> int:
        return len(self.request_id)

    @property
    def mode(self) -> str:
        """single_turn, multi_turn or imported."""
        return self.metadata["mode"]

    @property
    def unit(self) -> str:
        """token or block."""
        return self.metadata["unit"]

    @property
    def block_tokens(self) -> int:
        """Prompt tokens that one id of a stream represents; 1 where the unit is the token."""
        return self.metadata["block_tokens"] if self.unit == "block" else 1

    @property
    def num_streams(self) -> int:
        return len(self.stream_offsets) - 1

    @property
    def prompt_units(self) -> np.ndarray:
        """int64 [R]: ids in each prompt: its tokens, or its blocks with a partial last one."""
        return -(-self.prompt_tokens.astype(np.int64) // self.block_tokens)

    def stream_of(self, index: int) -> np.ndarray:
        """int32: all ids of stream `index` (a view)."""
        return self.stream_ids[self.stream_offsets[index] : self.stream_offsets[index + 1]]

    def prompt(self, row: int) -> np.ndarray:
        """int32 [prompt_units[row]]: the prompt's token ids, or block ids (a view)."""
        units = -(-int(self.prompt_tokens[row]) // self.block_tokens)
        return self.stream_of(self.stream[row])[:units]

    def output(self, row: int) -> np.ndarray:
        """int32 [output_tokens[row]]: the output's token ids (a view). LabError in a trace of blocks."""
        if self.unit != "token":
            raise LabError(
                f"request {self.request_id[row]}: this trace holds hashes of prompt blocks, no output "
                "tokens; use a trace made from conversations"
            )
        start = int(self.prompt_tokens[row])
        return self.stream_of(self.stream[row])[start : start + int(self.output_tokens[row])]

    @classmethod
    def from_requests(
        cls,
        prompts: Sequence[Sequence[int]],
        outputs: Sequence[Sequence[int]],
        arrival_time: Sequence[float],
        **columns: Any,
    ) -> Self:
        """A trace of R requests with a stream each, sorted by arrival; equal times keep their order.

        `columns` may give request_id, conversation_id, turn, priority and metadata. By default they are r0,
        r1, …, the request_id, 1, 0 and the metadata of an imported trace of tokens.
        """
        count = len(prompts)
        order = np.argsort(np.asarray(arrival_time, dtype=np.float64), kind="stable")
        request_id = columns.pop("request_id", None) or [f"r{row}" for row in range(count)]
        given = {
            "request_id": request_id,
            "conversation_id": columns.pop("conversation_id", request_id),
            "turn": columns.pop("turn", [1] * count),
            "arrival_time": arrival_time,
            "priority": columns.pop("priority", [0] * count),
            "prompt_tokens": [len(prompt) for prompt in prompts],
            "output_tokens": [len(output) for output in outputs],
        }
        streams = [np.asarray(ids, dtype=np.int32) for row in order for ids in (prompts[row], outputs[row])]
        lengths = [len(prompts[row]) + len(outputs[row]) for row in order]
        return cls(
            **{name: [column[row] for row in order] for name, column in given.items()},
            stream=np.arange(count),
            stream_ids=np.concatenate(streams) if streams else np.empty(0, np.int32),
            stream_offsets=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
            **columns,
        )

    @classmethod
    def read(cls, path: str | os.PathLike) -> Self:
        """Read Parquet (.parquet) or JSON Lines (.jsonl). For a bad file, LabError names the file, row and
        key."""
        suffix = Path(path).suffix
        try:
            if suffix == ".parquet":
                return cls(**trace_file.read_parquet(path))
            if suffix == ".jsonl":
                return cls.from_requests(**trace_file.read_json_lines(path))
        except FileNotFoundError as error:
            raise LabError(f"{path}: no such file; run the rule that makes this trace") from error
        except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
            raise LabError(
                f"{path}: not a Parquet file ({error}); run the rule that makes it again"
            ) from error
        except _BadTraceError as error:
            raise LabError(f"{path}: {error}") from error
        raise LabError(
            f"{path}: the name of a trace ends in .parquet or .jsonl, not in {suffix or 'nothing'}"
        )

    def write(self, path: str | os.PathLike) -> None:
        """Write Parquet (zstd), whole or not at all; the same trace always gives the same bytes."""
        trace_file.write_parquet(path, vars(self))

    def write_json_lines(self, path: str | os.PathLike, prompt_text: Callable[[int], str]) -> None:
        """Write a line for each request: its columns, the text of its prompt (`prompt_text` of the row),
        prompt_token_ids and output_token_ids."""
        columns = [name for name in trace_file.SCHEMA.names if not name.startswith("stream")]
        requests = (
            {name: getattr(self, name)[row] for name in columns}
            | {"prompt": prompt_text(row)}
            | {"prompt_token_ids": self.prompt(row), "output_token_ids": self.output(row)}
            for row in range(len(self))
        )
        requests = console.progress(requests, desc="write", total=len(self), unit="request")
        trace_file.write_json_lines(path, requests)

    def summary(self) -> dict[str, Any]:
        """The figures that describe the trace: lengths in tokens, with percentiles that are linear between
        ranks; the duration in seconds, from 0 to the last arrival."""
        return {
            "mode": self.mode,
            "unit": self.unit,
            "requests": len(self),
            "conversations": len(set(self.conversation_id)),
            "streams": self.num_streams,
            "prompt_tokens": int(self.prompt_tokens.sum(dtype=np.int64)),
            "output_tokens": int(self.output_tokens.sum(dtype=np.int64)),
            "lengths": {name: _lengths(getattr(self, name)) for name in ("prompt_tokens", "output_tokens")},
            "duration_s": float(self.arrival_time[-1]),
        }

    def _check_columns(self) -> None:
        rows = len(self.request_id)
        for name in ("conversation_id", *trace_file.NUMBERS):
            if len(getattr(self, name)) != rows:
                raise _BadTraceError(f"{name} has {len(getattr(self, name))} rows, request_id has {rows}")
        if self.metadata.get("unit") not in ("token", "block") or "mode" not in self.metadata:
            raise _BadTraceError(f"metadata needs mode and unit (token or block); found {self.metadata}")
        if self.unit == "block" and not self.metadata.get("block_tokens", 0) >= 1:
            raise _BadTraceError(f"metadata of blocks needs block_tokens; found {self.metadata}")

    def _check_rows(self) -> None:
        time = self.arrival_time
        self._require(np.isfinite(time) & (time >= 0), "arrival_time", "seconds >= 0")
        self._require(np.diff(time, prepend=0.0) >= 0, "arrival_time", "no earlier than in the row before")
        for name in ("prompt_tokens", "output_tokens", "turn"):
            self._require(getattr(self, name) >= 1, name, "at least 1")
        first_rows = np.zeros(len(self), dtype=bool)
        first_rows[np.unique(np.asarray(self.request_id), return_index=True)[1]] = True
        self._require(first_rows, "request_id", "given once")

    def _check_streams(self) -> None:
        highest = np.maximum.accumulate(self.stream) if len(self) else self.stream
        new = np.diff(highest, prepend=-1)
        self._require((self.stream >= 0) & (new <= 1), "stream", "numbered 0, 1, … in order of first use")
        if len(self) and highest[-1] != self.num_streams - 1:
            raise _BadTraceError(f"{self.num_streams} streams, but rows use only {highest[-1] + 1}")
        lengths = np.diff(self.stream_offsets)[self.stream] if len(self) else np.empty(0)
        needed = self.prompt_units + (self.output_tokens if self.unit == "token" else 0)
        self._require(needed <= lengths, "prompt_tokens", "with its output no longer than its stream")
        if self.stream_ids.size and self.stream_ids.min() < 0:
            at = int(np.searchsorted(self.stream_offsets, np.argmin(self.stream_ids), side="right")) - 1
            self._require(self.stream != at, "stream", "a stream of ids >= 0 only")

    def _require(self, good: np.ndarray, column: str, wanted: str) -> None:
        """Raise an error that names the first row that is not good."""
        if good.all():
            return
        row = int(np.argmin(good))
        value = getattr(self, column)[row]
        raise _BadTraceError(
            f"row {row} (request_id {self.request_id[row]}): {column} is {value}, must be {wanted}"
        )


def _lengths(values: np.ndarray) -> dict[str, float]:
    percentiles = {f"p{p}": float(np.percentile(values, p)) for p in PERCENTILES}
    return {"mean": float(values.mean()), **percentiles, "max": int(values.max())}


class _BadTraceError(LabError):
    """A broken invariant of the class, to which `read` adds the file."""
