"""What each request asks of a cache: its prompt's blocks from the root down, as the sweeps replay them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vllm_lab.sharing.analysis import Sharing


@dataclass(frozen=True, eq=False)
class SegmentPaths:
    """R paths as runs of blocks that are always accessed together (segments of the prefix tree)."""

    segment: np.ndarray  # int64 [A], path after path, root first
    offsets: np.ndarray  # int64 [R + 1]: path r is segment[offsets[r]:offsets[r + 1]]
    blocks: np.ndarray  # int64 [N], blocks in each segment
    first_block: np.ndarray  # int64 [N], number of its first block; blocks are numbered by first access
    distinct: int  # blocks in all

    @classmethod
    def of(cls, sharing: Sharing) -> SegmentPaths:
        """The paths of a trace's prompts at one block size."""
        accesses, tree, requests = sharing.accesses, sharing.tree, len(sharing.trace)
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
