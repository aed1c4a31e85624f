"""Prompts as numbers of blocks: two blocks have one number if and only if all up to their end is equal."""

from __future__ import annotations

import numpy as np

from vllm_lab.sharing.analysis import Sharing
from vllm_lab.sharing.paths import BlockPaths, SegmentPaths
from vllm_lab.sharing.stream_order import StreamOrder
from vllm_lab.sharing.tree import PrefixTree
from vllm_lab.traces.trace import Trace


def cached_blocks(trace: Trace, block_size: int) -> BlockPaths:
    """The blocks that the sharing analysis counts: a prompt's full ones of `block_size` tokens.

    In a trace of blocks: all that it has an id for, of its own size, which `block_size` must be.
    """
    return SegmentPaths.of(Sharing.of(trace, StreamOrder.of(trace), block_size)).expand()


def hash_ids(trace: Trace, block_size: int) -> BlockPaths:
    """The same, and a prompt's partial last block with a number that only an equal prompt has too; numbered
    by first access. As Mooncake's authors number theirs: a prompt of P tokens has ceil(P / block_size)."""
    full = cached_blocks(trace, block_size)
    rows = np.flatnonzero(trace.prompt_tokens % block_size) if trace.unit == "token" else []
    if not len(rows):
        return full
    _, (leaf,) = PrefixTree.grow(
        StreamOrder.of(trace), 1, trace.stream, [trace.prompt_tokens.astype(np.int64)]
    )
    prompts = np.unique(leaf[rows], return_inverse=True)[1]
    blocks = np.insert(full.block, full.offsets[rows + 1], full.distinct + prompts)
    partial = np.bincount(rows, minlength=len(trace))
    offsets = full.offsets + np.append(0, np.cumsum(partial))
    _, first, number = np.unique(blocks, return_index=True, return_inverse=True)
    return BlockPaths(np.argsort(np.argsort(first))[number], offsets, len(first))
