"""The prefix tree of a trace: what its prompts have in common, block by block, without a hash.

`StreamOrder` sorts the streams once. `PrefixTree` compresses runs of blocks with one history into segments.
`Accesses` says which request accesses which segment.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np

from vllm_lab.common.errors import LabError
from vllm_lab.traces.trace import Trace


@dataclass(frozen=True, eq=False)
class StreamOrder:
    """S streams sorted so that streams with a common prefix are neighbours.

    The longest common prefix of any two streams is the least `shared` between their places, in ids. Floor
    division by a block size gives it in whole blocks, so one sort serves every block size.
    """

    place: np.ndarray  # int64 [S]: stream -> its place in the order
    shared: np.ndarray  # int64 [S]: by place, ids shared with the stream one place before; 0 at place 0

    @classmethod
    def of(cls, trace: Trace) -> Self:
        """Sort `trace`'s streams by their bytes (memcmp); equal streams stay in the order of their numbers.

        An id has four bytes, so a common prefix of b bytes is a common prefix of b // 4 ids.
        """
        raw = memoryview(np.ascontiguousarray(trace.stream_ids, dtype="<i4")).cast("B")
        ends = (4 * trace.stream_offsets).tolist()
        streams = [raw[start:end].tobytes() for start, end in pairwise(ends)]
        order = np.array(sorted(range(len(streams)), key=streams.__getitem__), dtype=np.int64)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        neighbours = pairwise(order.tolist())
        shared = [0] * min(1, len(order))
        shared += [_common_prefix(trace.stream_of(one), trace.stream_of(other)) for one, other in neighbours]
        return cls(place, np.array(shared, dtype=np.int64))


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
    ) -> tuple[Self, list[np.ndarray]]:
        """The tree over blocks of `block_ids` ids, cut where any of the extents ends.

        stream: int [R], the stream of each request. extents: arrays int64 [R], how many leading blocks of the
        stream are meant; the stream must hold them in full. Returns the tree and, for each array of extents,
        the segment int64 [R] in which the extent ends (-1 for 0 blocks); the extent is the path from the root
        to it.

        The stream at place i shares its first start[i] blocks with the stream at place i - 1 and owns the
        depths from start[i] on. Its parent is the nearest earlier place with a smaller start. Example: if the
        streams ABC, ABD and AX are at places 0, 1 and 2, start is 0, 2, 1. ABD owns D alone and its parent is
        ABC; AX owns X, and its parent is ABC too, because ABD does not start before depth 1.
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


@dataclass(frozen=True, eq=False)
class Accesses:
    """A pairs (segment, request), sorted by segment, then by request (the row in the trace)."""

    segment: np.ndarray  # int64 [A]
    request: np.ndarray  # int64 [A]
    first: np.ndarray  # bool [A], the segment's first access

    @classmethod
    def of(cls, tree: PrefixTree, leaf: np.ndarray) -> Self:
        """Every segment on the path to each request's leaf; leaf: int64 [R], -1 for an empty path."""
        requests = max(1, len(leaf))
        keys = []
        row = np.flatnonzero(leaf >= 0)
        at = leaf[row]
        while row.size:
            keys.append(at * requests + row)
            at = tree.parent[at]
            row, at = row[at >= 0], at[at >= 0]
        segment, request = np.divmod(np.sort(np.concatenate([*keys, np.empty(0, np.int64)])), requests)
        first = np.ones(len(segment), dtype=bool)
        first[1:] = segment[1:] != segment[:-1]
        return cls(segment, request, first)

    def first_request(self, segments: int) -> np.ndarray:
        """int64 [segments]: the request that accesses each segment first; a huge number where none does."""
        first = np.full(segments, np.iinfo(np.int64).max)
        first[self.segment[self.first]] = self.request[self.first]
        return first

    def last(self) -> np.ndarray:
        """bool [A]: the segment's last access."""
        return np.append(self.first[1:], True)[: len(self.first)]


@dataclass(frozen=True, eq=False)
class BlockPaths:
    """R paths of block numbers in [0, distinct)."""

    block: np.ndarray  # int64 [A], path after path, root first
    offsets: np.ndarray  # int64 [R + 1]: path r is block[offsets[r]:offsets[r + 1]]
    distinct: int

    @classmethod
    def of(cls, tree: PrefixTree, accesses: Accesses, requests: int) -> Self:
        """The paths of R = `requests` requests that access segments of `tree`, numbered by first access."""
        width = max(1, len(tree))
        # A parent's number is below its children's, so sorting by number puts the root first.
        request, segment = np.divmod(np.sort(accesses.request * width + accesses.segment), width)
        seen, first_access = np.unique(segment, return_index=True)
        seen = seen[np.argsort(first_access)]
        first_block = np.zeros(len(tree), dtype=np.int64)
        first_block[seen] = np.cumsum(tree.blocks[seen]) - tree.blocks[seen]
        blocks = tree.blocks[segment]
        end = np.cumsum(blocks)
        within = np.arange(int(blocks.sum())) - np.repeat(end - blocks, blocks)
        offsets = np.append(0, end)[np.searchsorted(request, np.arange(requests + 1))]
        return cls(np.repeat(first_block[segment], blocks) + within, offsets, int(tree.blocks[seen].sum()))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def split(self) -> list[list[int]]:
        """The block numbers of each path."""
        blocks = self.block.tolist()
        return [blocks[start:end] for start, end in pairwise(self.offsets.tolist())]


def prompt_blocks(trace: Trace, block_size: int, *, partial: bool = True) -> np.ndarray:
    """int64 [R]: blocks of `block_size` tokens of each prompt that a cache can hold.

    In a trace of tokens these are the full blocks. A trace of blocks has ids for blocks of one size, which
    `block_size` must be; `partial` says whether the last block of a prompt counts although it is not full.
    LabError for an empty trace or another block size.
    """
    if not len(trace):
        raise LabError("the trace has no requests: nothing can be shared; check the selection that made it")
    if block_size < 1:
        raise LabError(f"block size {block_size}: must be at least 1 token")
    if trace.unit == "block" and block_size != trace.block_tokens:
        raise LabError(
            f"block size {block_size}: this trace holds hashes of blocks of {trace.block_tokens} tokens, "
            "which is the only block size it can be analysed at"
        )
    if trace.unit == "block" and partial:
        return trace.prompt_units
    return trace.prompt_tokens // np.int64(block_size)


def cached_blocks(trace: Trace, block_size: int, order: StreamOrder | None = None) -> BlockPaths:
    """The blocks that the sharing analysis counts: the full ones of each prompt, of `block_size` tokens.

    A trace of blocks has ids for blocks of one size, which `block_size` must be; all of them are counted.
    order: the order of the streams, where the caller has it.
    """
    order = order or StreamOrder.of(trace)
    extents = [prompt_blocks(trace, block_size)]
    tree, (leaf,) = PrefixTree.grow(order, block_size // trace.block_tokens, trace.stream, extents)
    return BlockPaths.of(tree, Accesses.of(tree, leaf), len(trace))


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


def _common_prefix(one: np.ndarray, other: np.ndarray) -> int:
    """The number of ids at the beginnings of the two that are equal."""
    length = min(len(one), len(other))
    differs = one[:length] != other[:length]
    first = int(differs.argmax()) if length else 0
    return first if length and differs[first] else length


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
