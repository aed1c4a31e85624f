"""What each request asks of a cache: the blocks of its prompt from the root down, as numbers.

Two blocks have the same number if and only if everything up to their ends is equal. Blocks are numbered by
first access.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vllm_lab.traces.prefix_tree import Accesses, PrefixTree, StreamOrder, prompt_blocks
from vllm_lab.traces.trace import Trace


@dataclass(frozen=True, eq=False)
class SegmentPaths:
    """R paths as runs of blocks that are always accessed together (segments of the prefix tree)."""

    segment: np.ndarray  # int64 [A], path after path, root first
    offsets: np.ndarray  # int64 [R + 1]: path r is segment[offsets[r]:offsets[r + 1]]
    blocks: np.ndarray  # int64 [N], blocks in each segment
    first_block: np.ndarray  # int64 [N], number of its first block
    distinct: int  # blocks in all

    @classmethod
    def of(cls, tree: PrefixTree, accesses: Accesses, requests: int) -> SegmentPaths:
        """The paths of R = `requests` requests that access segments of `tree`."""
        width = max(1, len(tree))
        # A parent's number is below its children's, so sorting by number puts the root first.
        request, segment = np.divmod(np.sort(accesses.request * width + accesses.segment), width)
        seen, first_access = np.unique(segment, return_index=True)
        seen = seen[np.argsort(first_access)]
        first_block = np.zeros(len(tree), dtype=np.int64)
        first_block[seen] = np.cumsum(tree.blocks[seen]) - tree.blocks[seen]
        offsets = np.searchsorted(request, np.arange(requests + 1))
        return cls(segment, offsets, tree.blocks, first_block, int(tree.blocks[seen].sum()))

    def expand(self) -> BlockPaths:
        """The same paths block by block."""
        width = self.blocks[self.segment]
        end = np.cumsum(width)
        within = np.arange(int(width.sum())) - np.repeat(end - width, width)
        blocks = np.repeat(self.first_block[self.segment], width) + within
        return BlockPaths(blocks, np.append(0, end)[self.offsets], self.distinct)


@dataclass(frozen=True, eq=False)
class BlockPaths:
    """R paths of block numbers in [0, distinct)."""

    block: np.ndarray  # int64 [A], path after path, root first
    offsets: np.ndarray  # int64 [R + 1]
    distinct: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def split(self) -> list[list[int]]:
        """The block numbers of each path."""
        blocks = self.block.tolist()
        return [blocks[start:end] for start, end in pairwise(self.offsets.tolist())]


def cached_blocks(trace: Trace, block_size: int, order: StreamOrder | None = None) -> BlockPaths:
    """The blocks that the sharing analysis counts: the full ones of each prompt, of `block_size` tokens.

    A trace of blocks has ids for blocks of one size, which `block_size` must be; all of them are counted.
    order: the order of the streams, where the caller has it.
    """
    order = order or StreamOrder.of(trace)
    extents = [prompt_blocks(trace, block_size)]
    tree, (leaf,) = PrefixTree.grow(order, block_size // trace.block_tokens, trace.stream, extents)
    return SegmentPaths.of(tree, Accesses.of(tree, leaf), len(trace)).expand()


def hash_ids(trace: Trace, block_size: int) -> BlockPaths:
    """The same, and also the partial last block of a prompt, with a number that only an equal prompt shares.

    A prompt of P tokens has ceil(P / block_size) blocks, as in the traces that Mooncake's authors published.
    """
    order = StreamOrder.of(trace)
    full = cached_blocks(trace, block_size, order)
    rows = np.flatnonzero(trace.prompt_tokens % block_size) if trace.unit == "token" else []
    if not len(rows):
        return full
    _, (leaf,) = PrefixTree.grow(order, 1, trace.stream, [trace.prompt_tokens.astype(np.int64)])
    prompts = np.unique(leaf[rows], return_inverse=True)[1]
    blocks = np.insert(full.block, full.offsets[rows + 1], full.distinct + prompts)
    partial = np.bincount(rows, minlength=len(trace))
    offsets = full.offsets + np.append(0, np.cumsum(partial))
    _, first, number = np.unique(blocks, return_index=True, return_inverse=True)
    return BlockPaths(np.argsort(np.argsort(first))[number], offsets, len(first))
