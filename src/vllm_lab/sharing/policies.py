"""Eviction policies on a cache of prefix blocks, by direct simulation.

One request at a time:
1. Look up: its hits are the leading run of its path that is cached. A cached block behind a missing one
   cannot be reached, but takes room until it is evicted or its prefix returns.
2. Insert: all blocks of the path are in the cache afterwards; of a path longer than the cache the leading
   ones only. None of the request's own blocks is evicted while it is served.
3. Evict others until the rest fits, in the policy's order; of blocks that are equal in it the deeper one goes
   first, as in vLLM, which frees a request's blocks in reverse.

    lru           longest since its last access
    fifo          longest since its insertion
    lfu           fewest accesses since its insertion (reachable or not), then lru
    length_aware  deepest in its path, then lru (Mooncake's LengthAwareCache)
    belady        farthest next access; a block may be refused entry, which makes it the bound of every
                  policy: a prefix is accessed whenever what follows it is, so what it keeps is reachable
"""

from __future__ import annotations

import heapq

import numpy as np
from numba import njit

from vllm_lab.sharing.paths import BlockPaths

SIMULATED = ("lru", "fifo", "lfu", "length_aware", "belady")
LRU, FIFO, LFU, LENGTH_AWARE, BELADY = range(len(SIMULATED))


def simulate(paths: BlockPaths, policy: str, capacity: int) -> np.ndarray:
    """Hits int64 [R] (blocks) of each request in a cache of `capacity` >= 1 blocks, empty at first."""
    code = SIMULATED.index(policy)
    later = _next_request(paths.block, paths.offsets, paths.distinct) if code == BELADY else paths.block
    return _simulate(paths.block, paths.offsets, later, paths.distinct, code, capacity)


@njit(cache=True)
def _simulate(block, offsets, later, distinct, policy, capacity):  # pragma: no cover (compiled)
    requests = len(offsets) - 1
    longest = np.diff(offsets).max() + 1 if requests else 1
    cached = np.zeros(distinct, np.bool_)
    key = np.full(distinct, -1)  # eviction order, smallest first; a heap entry with another key is outdated
    count = np.zeros(distinct, np.int64)
    inserted = np.zeros(distinct, np.int64)
    hits = np.zeros(requests, np.int64)
    heap = [(np.int64(0), np.int64(0)) for _ in range(0)]
    used = 0
    for r in range(requests):
        begin, length = offsets[r], offsets[r + 1] - offsets[r]
        while hits[r] < length and cached[block[begin + hits[r]]]:
            hits[r] += 1
        kept = length if policy == BELADY else min(length, capacity)
        for at in range(begin, begin + kept):
            b = block[at]
            key[b] = -1  # pinned: no heap entry of it is valid
            if not cached[b]:
                cached[b], count[b], inserted[b] = True, 0, r
                used += 1
        if policy != BELADY:
            used -= _evict(heap, cached, key, used - capacity)
        for at in range(begin, begin + kept):
            b, shallow = block[at], longest - (at - begin)
            count[b] += 1
            if policy == LRU:
                key[b] = r * longest + shallow
            elif policy == FIFO:
                key[b] = inserted[b] * longest + shallow
            elif policy == LFU:
                key[b] = (count[b] * requests + r) * longest + shallow
            elif policy == LENGTH_AWARE:
                key[b] = shallow * requests + r
            else:
                key[b] = (requests - later[at]) * longest + shallow
            heapq.heappush(heap, (key[b], b))
        if policy == BELADY:
            used -= _evict(heap, cached, key, used - capacity)
    return hits


@njit(cache=True)
def _evict(heap, cached, key, excess):  # pragma: no cover (compiled)
    evicted = 0
    while evicted < excess:
        order, b = heapq.heappop(heap)
        if cached[b] and key[b] == order:
            cached[b] = False
            evicted += 1
    return evicted


@njit(cache=True)
def _next_request(block, offsets, distinct):  # pragma: no cover (compiled)
    """int64 [A]: the next request that accesses the same block; R where none does."""
    requests = len(offsets) - 1
    soonest = np.full(distinct, requests)
    later = np.empty(len(block), np.int64)
    for r in range(requests - 1, -1, -1):
        for at in range(offsets[r], offsets[r + 1]):
            later[at] = soonest[block[at]]
            soonest[block[at]] = r
    return later
