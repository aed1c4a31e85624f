"""streams.parquet in memory: the turns of every conversation, and the streams that they lie on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vllm_lab.common.errors import LabError
from vllm_lab.traces.streams import SCHEMA


@dataclass(frozen=True)
class StreamTable:
    """C conversations with a user turn, T turns ordered by conversation and turn, S streams in file order."""

    conversation_id: list[str]  # [C]
    first_role: np.ndarray  # str [C]
    turn_offsets: np.ndarray  # int64 [C + 1]: conversation c has turns turn_offsets[c]:turn_offsets[c + 1]
    prompt_tokens: np.ndarray  # int32 [T]
    output_tokens: np.ndarray  # int32 [T]
    answered: np.ndarray  # bool [T]
    stream: np.ndarray  # int64 [T]
    token_ids: np.ndarray  # int32 [all tokens]
    token_offsets: np.ndarray  # int64 [S + 1]

    @classmethod
    def read(cls, path: Path) -> StreamTable:
        """Read streams.parquet. LabError naming the file and what is wrong."""
        table = _read(path)
        conversation = table["conversation"].to_numpy()
        turns = table["turns"].combine_chunks()
        stream = np.repeat(np.arange(len(table)), turns.value_lengths().to_numpy())
        number = turns.flatten().to_numpy()
        order = np.lexsort((number, conversation[stream]))
        names, first_rows, of_stream = np.unique(conversation, return_index=True, return_inverse=True)
        counts = np.bincount(of_stream[stream], minlength=len(names))
        offsets = np.concatenate([[0], np.cumsum(counts)])
        expected = np.arange(len(order)) - np.repeat(offsets[:-1], counts) + 1
        if not np.array_equal(number[order], expected):
            wrong = int(names[of_stream[stream[order]][np.argmin(number[order] == expected)]])
            raise LabError(
                f"{path}: conversation {wrong}: user turns are not numbered 1, 2, …; run the rule `tokens` "
                "again"
            )
        tokens = table["token_ids"].combine_chunks()
        return cls(
            conversation_id=table["conversation_id"].take(pa.array(first_rows)).to_pylist(),
            first_role=np.array(table["first_role"].take(pa.array(first_rows)).to_pylist()),
            turn_offsets=offsets,
            prompt_tokens=_flat(table, "prompt_tokens")[order],
            output_tokens=_flat(table, "output_tokens")[order],
            answered=_flat(table, "answered")[order],
            stream=stream[order],
            token_ids=tokens.flatten().to_numpy(),
            token_offsets=np.concatenate(
                [[0], np.cumsum(tokens.value_lengths().to_numpy().astype(np.int64))]
            ),
        )


def _read(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path)
    except FileNotFoundError as error:
        raise LabError(f"{path}: no such file; run the rule `tokens`") from error
    except pa.ArrowInvalid as error:
        raise LabError(f"{path}: not a Parquet file ({error}); run the rule `tokens` again") from error
    if not table.schema.equals(SCHEMA):
        raise LabError(
            f"{path}: columns are {', '.join(table.column_names)}, must be {', '.join(SCHEMA.names)} of the "
            "documented types; run the rule `tokens` again"
        )
    return table


def _flat(table: pa.Table, name: str) -> np.ndarray:
    return table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
