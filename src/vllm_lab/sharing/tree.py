"""The prefix tree of a trace's blocks, compressed: a run of blocks with one history is one segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vllm_lab.sharing.stream_order import StreamOrder


@dataclass(frozen=True, eq=False)
class PrefixTree:
    """N segments; a parent's number is below its children's. A block is a segment and a depth in it.

    No extent that the tree was grown for ends inside a segment and no branch leaves from inside one, so
    all blocks of a segment are accessed by the same requests. Segments that no extent reaches may exist.
    """

    parent: np.ndarray  # int64 [N], -1 where the segment begins at depth 0
    start: np.ndarray  # int64 [N], depth of its first block (blocks before it on every path through it)
    blocks: np.ndarray  # int64 [N], >= 1

    def __len__(self) -> int:
        return len(self.parent)

    @classmethod
    def grow(
        cls, order: StreamOrder, block_ids: int, stream: np.ndarray, extents: Sequence[np.ndarray]
    ) -> tuple[PrefixTree, list[np.ndarray]]:
        """The tree over blocks of `block_ids` ids, cut where any of the extents ends.

        stream: int [R], each request's stream; extents: arrays int64 [R] of how many leading blocks of it are
        meant, no more than the stream has in full. Returns the tree and for each extents array the segment
        int64 [R] in which it ends (-1 for 0 blocks); the path to it from the root is the extent.

        The stream at place i owns the depths from start[i] on, which it does not share with the place before.
        A depth before that belongs to the nearest earlier place that shares less: its parent.
        """
        start = order.shared // block_ids
        parent = _previous_smaller(start)
        width = max([int(start.max(initial=0)), *(int(extent.max(initial=0)) for extent in extents)]) + 1
        ends = [_owner_and_depth(order.place[stream], extent, start, parent, width) for extent in extents]
        branches = np.where(start > 0, parent * width + start, -1)
        cuts = np.unique(np.concatenate([branches, *ends]))
        cuts = cuts[cuts >= 0]
        owner, end = np.divmod(cuts, width)
        follows = owner[1:] == owner[:-1]
        begin = start[owner]
        begin[1:][follows] = end[:-1][follows]
        above = np.where(branches[owner] >= 0, np.searchsorted(cuts, branches[owner]), -1)
        above[1:][follows] = np.arange(len(cuts) - 1)[follows]
        leaves = [np.where(key >= 0, np.searchsorted(cuts, key), -1) for key in ends]
        return cls(above, begin, end - begin), leaves


def _previous_smaller(values: np.ndarray) -> np.ndarray:
    """int64 [S]: for each place the nearest earlier one with a smaller value, -1 where there is none."""
    found = np.empty(len(values), dtype=np.int64)
    stack: list[tuple[int, int]] = []
    for place, value in enumerate(values.tolist()):
        while stack and stack[-1][1] >= value:
            stack.pop()
        found[place] = stack[-1][0] if stack else -1
        stack.append((place, value))
    return found


def _owner_and_depth(
    place: np.ndarray, extent: np.ndarray, start: np.ndarray, parent: np.ndarray, width: int
) -> np.ndarray:
    """int64 [R]: owner * width + depth of where each extent ends; -1 for an empty one."""
    owner = place.astype(np.int64)
    climbing = np.flatnonzero(extent > 0)
    while climbing.size:
        climbing = climbing[start[owner[climbing]] >= extent[climbing]]
        owner[climbing] = parent[owner[climbing]]
    return np.where(extent > 0, owner * width + extent, -1)
