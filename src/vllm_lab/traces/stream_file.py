"""streams.parquet: written from all conversations in several processes, and read as a table of turns.

The bytes of the file do not depend on the number of processes.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vllm_lab.common import console
from vllm_lab.common.errors import LabError
from vllm_lab.common.files import atomic_path
from vllm_lab.traces.streams import SCHEMA, StreamMaker, Tally

CONVERSATIONS_PER_BATCH = (
    256  # also a row group of the output: fixed, so that bytes do not depend on processes
)
Batch = tuple[int, pa.RecordBatch]
Result = tuple[pa.RecordBatch, Tally]
Settings = tuple[Path, str, str]  # the arguments of StreamMaker

COUNTS = (
    "conversations",
    "streams",
    "explicit_streams",
    "turns",
    "tokens",
    "unanswered_turns",
    "without_user_turn",
    "special_text_conversations",
)


def write_streams(conversations: Path, output: Path, settings: Settings, processes: int) -> dict[str, Any]:
    """Write the streams of `conversations` (Parquet) to `output` and return the summary.

    `settings` are the folder of the checkpoint, the chat template and the policy for the default system
    prompt. In memory are one batch with its streams in each process, and two waiting batches for each
    process.
    """
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # here and in the workers: one thread for each process
    tally = Tally()
    with open_conversations(conversations) as source, atomic_path(output) as partial:
        batches = _batches(source)
        results = _in_processes(batches, settings, processes) if processes > 1 else _here(batches, settings)
        total = -(-source.metadata.num_rows // CONVERSATIONS_PER_BATCH)
        with pq.ParquetWriter(partial, SCHEMA, compression="zstd") as writer:
            for streams, later in console.progress(results, desc="tokenise", total=total, unit="batch"):
                writer.write_batch(streams)
                tally.add(later)
        if not tally.counts["streams"]:
            raise LabError(
                f"{conversations}: no request in {tally.counts['conversations']} conversations: "
                f"{tally.counts['without_user_turn']} have no user turn, the template refused "
                f"{tally.counts['template_refused']} (first: {tally.refused_example})"
            )
    refused = {"count": tally.counts["template_refused"], "example": tally.refused_example}
    counts = {name: tally.counts[name] for name in COUNTS}
    return counts | {"template_refused": refused} | StreamMaker(*settings).describe()


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
        table = _open(path, "traces_tokens").read()
        if not table.schema.equals(SCHEMA):
            raise LabError(
                f"{path}: columns are {', '.join(table.column_names)}, must be {', '.join(SCHEMA.names)} of "
                "the documented types; run the rule traces_tokens again"
            )
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
                f"{path}: conversation {wrong}: user turns are not numbered 1, 2, …; run the rule "
                "traces_tokens again"
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


def open_conversations(path: Path) -> pq.ParquetFile:
    """conversations.parquet with the columns that are needed here; LabError if it is something else."""
    source = _open(path, "data_conversations")
    missing = {"conversation_id", "messages"} - set(source.schema_arrow.names)
    if missing:
        raise LabError(
            f"{path}: no column {', '.join(sorted(missing))}; run the rule data_conversations again"
        )
    return source


def _open(path: Path, rule: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError as error:
        raise LabError(f"{path}: no such file; run the rule {rule}") from error
    except pa.ArrowInvalid as error:
        raise LabError(f"{path}: not a Parquet file ({error}); run the rule {rule} again") from error


def _batches(source: pq.ParquetFile) -> Iterator[Batch]:
    first = 0
    for batch in source.iter_batches(CONVERSATIONS_PER_BATCH, columns=["conversation_id", "messages"]):
        yield first, batch
        first += batch.num_rows


def _here(batches: Iterable[Batch], settings: Settings) -> Iterator[Result]:
    maker = StreamMaker(*settings)
    for batch in batches:
        yield maker.batch(*batch)


def _in_processes(batches: Iterable[Batch], settings: Settings, processes: int) -> Iterator[Result]:
    """Results in the order of the batches, with at most two batches in progress for each process."""
    spawn = multiprocessing.get_context("spawn")  # a fork would copy the threads of Arrow in an unknown state
    with ProcessPoolExecutor(processes, spawn, _start_worker, (settings,)) as pool:
        waiting: deque[Future[Result]] = deque()
        for batch in batches:
            waiting.append(pool.submit(_work, batch))
            if len(waiting) > 2 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


_worker: StreamMaker


def _start_worker(settings: Settings) -> None:
    """Load the tokenizer once in each process."""
    global _worker
    _worker = StreamMaker(*settings)


def _work(batch: Batch) -> Result:
    return _worker.batch(*batch)


def _flat(table: pa.Table, name: str) -> np.ndarray:
    return table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
