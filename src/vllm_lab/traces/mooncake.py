"""Mooncake's traces: hashes of prompt blocks instead of tokens (https://github.com/kvcache-ai/Mooncake)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vllm_lab.traces.block_lines import KEYS, block_trace, blocks_fault, by_arrival, fault_of, read_records
from vllm_lab.traces.trace import Trace

BLOCK_TOKENS = 512  # in the traces that Mooncake's authors published


def read_mooncake(path: Path, block_tokens: int = BLOCK_TOKENS) -> Trace:
    """A trace of blocks from JSON Lines (also .gz, .xz) of timestamp (ms), input_length and output_length
    (tokens) and hash_ids (one for every `block_tokens` prompt tokens; the partial last block has one of its
    own).

    Request `r<line>`, line counted from 1; each is a conversation and a stream of its own, for the file does
    not say which requests belong together. The first bad line is a LabError that names it and the key.
    """

    def fault(record: Any) -> str:
        return fault_of(record, KEYS) or blocks_fault(
            record, block_tokens, [-(-record["input_length"] // block_tokens)]
        )

    records = read_records(path, fault)
    order = by_arrival(records)
    names = [f"r{row + 1}" for row in order]
    return block_trace(
        [records[row] for row in order],
        per_second=1000,
        metadata={"block_tokens": block_tokens, "source": "mooncake"},
        request_id=names,
        conversation_id=names,
        turn=[1] * len(names),
    )
