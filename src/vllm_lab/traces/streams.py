"""Token streams: a conversation is rendered and tokenised once, and its prompts are prefixes of the result.

The text of a stream is cut where a prompt ends, and each piece is tokenised separately. So a prompt is always
an exact prefix of its stream, and the tokens of a reply are those that an engine would have generated after
that prompt; they go into the next prompt unchanged. Tokenising a prompt together with its reply could give
other tokens only where the two meet.

Several processes write streams.parquet. Its bytes do not depend on their number.
"""

import multiprocessing
import os
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vllm_lab.common import console
from vllm_lab.common.errors import LabError
from vllm_lab.common.files import atomic_path
from vllm_lab.traces import template, trace_file
from vllm_lab.traces.tokenizer import ChatTokenizer

_NUMBERS = pa.list_(pa.int32())
SCHEMA = pa.schema({
    "conversation": pa.int32(), "conversation_id": pa.string(), "first_role": pa.string(),
    "turns": _NUMBERS, "prompt_tokens": _NUMBERS, "output_tokens": _NUMBERS,
    "answered": pa.list_(pa.bool_()), "token_ids": _NUMBERS,
})  # fmt: skip

COUNTS = (
    "conversations", "streams", "explicit_streams", "turns", "tokens",
    "unanswered_turns", "without_user_turn", "special_text_conversations",
)  # fmt: skip
BATCH = 256  # conversations; also a row group, and fixed so that the bytes do not depend on the processes
Settings = tuple[Path, str, str]  # the arguments of StreamMaker
LaidOut = tuple[dict[str, Any], template.StreamLayout, dict[str, str]]  # first columns, layout, literals


@dataclass
class Tally:
    """Counts of what happened to the conversations, and the first one that the template refused."""

    counts: Counter[str] = field(default_factory=Counter)
    refused_example: dict[str, str] | None = None

    def add(self, later: Self) -> None:
        """Add the tally of conversations that come later in the file."""
        self.counts += later.counts
        self.refused_example = self.refused_example or later.refused_example


class StreamMaker:
    """Turns conversations into streams with one tokenizer, template and system prompt policy.

    A template may put a default system prompt before a conversation without a system message: the policy
    `keep` leaves it there, `drop` cuts it out. LabError where that is impossible, or where nothing can end a
    turn.
    """

    def __init__(self, model_dir: Path, chat_template: str, default_system_prompt: str) -> None:
        self.tokenizer = ChatTokenizer(model_dir)
        self.template = template.load_template(chat_template, model_dir, self.tokenizer.special_tokens)
        self.shape = template.probe(self.template)
        self.policy = default_system_prompt
        if self.policy == "drop":
            self.template = template.without_system_prompt(self.template, self.shape)
        end_text = self.tokenizer.find_special(self.shape.reply_end)
        self.has_end_token = end_text is not None
        end_text = end_text or self.tokenizer.special_tokens.get("eos_token", "")
        end_token = self.tokenizer.special_id(end_text)
        if end_token is None:
            raise LabError(
                f"{model_dir}/tokenizer_config.json: no eos_token, and template {self.template.name} ends a "
                "reply with no special token, so that nothing ends a turn; set one or use another template"
            )
        self.end_token: int = end_token

    def describe(self) -> dict[str, Any]:
        """The template, the default system prompt and the end-of-turn token, for the summary."""
        text = self.shape.injected
        ids = None if text is None else self.tokenizer.encode([text])[0].tolist()
        problem = {"problem": self.shape.problem} if text is None else {}
        return {
            "template": self.template.name,
            "default_system_prompt": {"policy": self.policy, "text": text, "token_ids": ids} | problem,
            "end_of_turn_token_id": self.end_token,
            "end_of_turn_in_template": self.has_end_token,
        }

    def batch(self, first: int, conversations: pa.RecordBatch) -> tuple[pa.RecordBatch, Tally]:
        """Streams of conversations number `first`, `first` + 1, … (columns conversation_id, messages)."""
        tally = Tally()
        laid_out: list[LaidOut] = []
        for number, record in enumerate(conversations.to_pylist(), start=first):
            head = {
                "conversation": number,
                "conversation_id": record["conversation_id"],
                "first_role": record["messages"][0]["role"] if record["messages"] else "",
            }
            streams, literals = self._lay_out(record, tally)
            laid_out += [(head, layout, literals) for layout in streams]
        tokens = self._encode(laid_out)
        rows = [
            head | self._place(layout, pieces)
            for (head, layout, _), pieces in zip(laid_out, tokens, strict=True)
        ]
        tally.counts["streams"] += len(rows)
        tally.counts["tokens"] += sum(len(row["token_ids"]) for row in rows)
        tally.counts["unanswered_turns"] += sum(row["answered"].count(False) for row in rows)
        return pa.RecordBatch.from_pylist(rows, schema=SCHEMA), tally

    def _lay_out(
        self, record: dict[str, Any], tally: Tally
    ) -> tuple[list[template.StreamLayout], dict[str, str]]:
        messages, literals = self.messages(record["messages"])
        tally.counts.update(conversations=1, special_text_conversations=bool(literals))
        try:
            streams = template.lay_out(
                messages, self.template, self.shape.reply_end, has_end_token=self.has_end_token
            )
        except template.TemplateRefusedError as error:
            tally.counts["template_refused"] += 1
            example = {"conversation_id": record["conversation_id"], "message": str(error)}
            tally.refused_example = tally.refused_example or example
            return [], {}
        turns = sum(len(stream.turns) for stream in streams)
        explicit = sum(not stream.main for stream in streams)
        tally.counts.update(turns=turns, without_user_turn=not turns, explicit_streams=explicit)
        return streams, literals

    def messages(self, messages: Sequence[dict[str, str]]) -> tuple[list[template.Message], dict[str, str]]:
        """Messages as templates expect them, with the literals of special tokens hidden, and the literal of
        each hiding character."""
        texts, literals = self.tokenizer.hide([message["text"] for message in messages])
        return [
            {"role": message["role"], "content": text} for message, text in zip(messages, texts, strict=True)
        ], literals

    def _encode(self, laid_out: Sequence[LaidOut]) -> list[list[np.ndarray]]:
        """Token ids of every piece of every layout; pieces without literals are encoded in one batch."""
        usual = [
            (piece, place > 0)
            for _, layout, literals in laid_out
            if not literals
            for place, piece in enumerate(layout.pieces)
        ]
        texts, continues = zip(*usual, strict=True) if usual else ((), ())
        encoded = iter(self.tokenizer.encode(texts, continues))
        return [
            [
                self.tokenizer.encode_hidden(piece, literals) if literals else next(encoded)
                for piece in layout.pieces
            ]
            for _, layout, literals in laid_out
        ]

    def _place(self, layout: template.StreamLayout, pieces: Sequence[np.ndarray]) -> dict[str, Any]:
        """The columns of a stream. An output ends with the first end-of-turn token of its piece, or with the
        piece. The last output of a closed stream gets that token where it is missing."""
        starts = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])])
        ids = list(pieces)
        prompts, outputs = [], []
        for turn in layout.turns:
            piece = pieces[turn.reply] if turn.reply < len(pieces) else np.empty(0, np.int32)
            ends = np.flatnonzero(piece == self.end_token)
            length = int(ends[0]) + 1 if len(ends) else len(piece)
            if layout.close and turn is layout.turns[-1] and not len(ends):
                ids.append(np.array([self.end_token], dtype=np.int32))
                length += 1
            prompts.append(int(starts[turn.reply]))
            outputs.append(length)
        return {
            "turns": [turn.number for turn in layout.turns],
            "prompt_tokens": prompts,
            "output_tokens": outputs,
            "answered": [turn.answered for turn in layout.turns],
            "token_ids": np.concatenate(ids),
        }


def write_streams(conversations: Path, output: Path, settings: Settings, processes: int) -> dict[str, Any]:
    """Write the streams of `conversations` (Parquet) to `output` and return the summary.

    `settings` are the folder of the checkpoint, the chat template and the policy for the default system
    prompt. Each process holds one batch with its streams in memory, and two more of its batches wait.
    """
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # here and in the workers: one thread for each process
    tally = Tally()
    with open_conversations(conversations) as source, atomic_path(output) as partial:
        results = _results(source, settings, processes)
        total = -(-source.metadata.num_rows // BATCH)
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


def open_conversations(path: Path) -> pq.ParquetFile:
    """conversations.parquet with the columns that are needed here; LabError if it is something else."""
    source = trace_file.open_parquet(path, "data_conversations")
    missing = {"conversation_id", "messages"} - set(source.schema_arrow.names)
    if missing:
        raise LabError(
            f"{path}: no column {', '.join(sorted(missing))}; run the rule data_conversations again"
        )
    return source


def _results(
    source: pq.ParquetFile, settings: Settings, processes: int
) -> Iterator[tuple[pa.RecordBatch, Tally]]:
    """Results in the order of the file, with at most two waiting batches for each process."""
    batches = enumerate(source.iter_batches(BATCH, columns=["conversation_id", "messages"]))
    if processes < 2:
        _start_worker(settings)
        yield from map(_work, batches)
        return
    spawn = multiprocessing.get_context("spawn")  # a fork would copy the threads of Arrow in an unknown state
    with ProcessPoolExecutor(processes, spawn, _start_worker, (settings,)) as pool:
        waiting: deque[Future[tuple[pa.RecordBatch, Tally]]] = deque()
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


def _work(batch: tuple[int, pa.RecordBatch]) -> tuple[pa.RecordBatch, Tally]:
    number, conversations = batch
    return _worker.batch(number * BATCH, conversations)
