"""LRU hits at every capacity in one pass over a trace, by stack distances on runs of blocks.

(R. L. Mattson et al., Evaluation techniques for storage hierarchies, IBM Systems Journal 9(2), 1970.)
An access hits an LRU cache of c blocks if fewer than c distinct blocks are more recent than its own. Blocks
that were last accessed by one request form a contiguous tail of its path: whoever accesses a block accesses
all before it. Among them the shallower counts as more recent, as vLLM frees a request's blocks in reverse. So
the live blocks of each request are one number in a Fenwick tree over requests, and a run of blocks with the
same last request has consecutive distances.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from vllm_lab.sharing.paths import SegmentPaths


@dataclass(frozen=True, eq=False)
class LruCurve:
    """Hits of an LRU cache under the rules of `policies`, for every capacity."""

    hits: np.ndarray  # int64 [distinct + 1]: by capacity in blocks, block hits
    last_needs: np.ndarray  # int64 [R]: the least capacity at which a request's last block hits; 0 if at none

    @classmethod
    def of(cls, paths: SegmentPaths) -> LruCurve:
        """One pass; time O(path segments x log R)."""
        accesses, last_needs = _needed_capacities(paths.segment, paths.offsets, paths.blocks, paths.distinct)
        return cls(np.cumsum(np.cumsum(accesses))[: paths.distinct + 1], last_needs)


@njit(cache=True)
def _needed_capacities(segment, offsets, blocks, distinct):  # pragma: no cover (compiled)
    """Accesses that need a capacity to hit, differences int64 [distinct + 2] over it; and last_needs."""
    requests = len(offsets) - 1
    accesses = np.zeros(distinct + 2, np.int64)
    last_needs = np.zeros(requests, np.int64)
    last = np.full(len(blocks), -1)  # segment -> the request that accessed it last
    live = np.zeros(requests + 1, np.int64)  # Fenwick tree: request -> blocks that it accessed last
    total = 0
    for r in range(requests):
        run, need, length = -1, 0, 0
        for at in range(offsets[r], offsets[r + 1]):
            s = segment[at]
            length += blocks[s]
            if last[s] < 0:
                need = 0
                total += blocks[s]
                continue
            if last[s] != run:
                run, need = last[s], total - _sum_to(live, last[s])
            accesses[need + 1] += 1
            accesses[need + blocks[s] + 1] -= 1
            need += blocks[s]
        last_needs[r] = need
        for at in range(offsets[r], offsets[r + 1]):
            s = segment[at]
            if last[s] >= 0:
                _add(live, last[s], -blocks[s])
            last[s] = r
        _add(live, r, length)
    return accesses, last_needs


@njit(cache=True)
def _sum_to(tree, index):  # pragma: no cover (compiled)
    """Sum of the values at 0 … index."""
    total, at = 0, index + 1
    while at > 0:
        total += tree[at]
        at -= at & -at
    return total


@njit(cache=True)
def _add(tree, index, value):  # pragma: no cover (compiled)
    at = index + 1
    while at < len(tree):
        tree[at] += value
        at += at & -at
