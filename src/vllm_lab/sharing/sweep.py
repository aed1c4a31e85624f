"""A sweep: hit rates of prefix caches by block size, capacity and eviction policy.

Every cache serves one request at a time. It looks up the leading run of the request's path that is cached,
then it inserts the path, and then it evicts other blocks in the order of the policy. docs/sharing.md has the
details: pinned blocks, ties, paths longer than the cache, and which policies of libCacheSim can join.

libCacheSim cannot pin blocks: a policy of its own may evict a block of the request that is served. A request
looks up its leading blocks without an access (find). Then it accesses every block of its path, the deepest
first, so that the roots are the younger ones in the queues.
"""

import heapq
import math
from collections.abc import Iterator, Sequence
from typing import Any

import libcachesim
import numpy as np
from numba import njit

from vllm_lab.common import console
from vllm_lab.common.errors import LabError
from vllm_lab.sharing.analysis import Sharing
from vllm_lab.sharing.policies import POLICIES
from vllm_lab.traces.prefix_tree import BlockPaths, StreamOrder, cached_blocks
from vllm_lab.traces.trace import Trace

SIMULATED = tuple(name for name, policy in POLICIES.items() if not policy.library)
LRU, FIFO, LFU, LENGTH_AWARE, BELADY = map(SIMULATED.index, ("lru", "fifo", "lfu", "length_aware", "belady"))


def sweep_rows(
    trace: Trace,
    name: str,
    block_sizes: Sequence[int],
    capacities: Sequence[int],
    policies: Sequence[str],
    kv_bytes: int | None,
) -> Iterator[tuple[Any, ...]]:
    """Rows of SWEEP_COLUMNS: for each block size and policy the capacities, then an unbounded cache ("inf").

    capacities are in tokens, so that block sizes can be compared; a cache uses the whole blocks in them. A
    trace of blocks has its own block size and ignores block_sizes. kv_bytes are the bytes of one token's KV
    cache; None leaves capacity_gib empty.
    """
    order = StreamOrder.of(trace)
    sizes = [trace.block_tokens] if trace.unit == "block" else sorted(set(block_sizes))
    tokens = sorted(set(capacities))
    if tokens and tokens[0] < max(sizes):
        raise LabError(f"capacity of {tokens[0]} tokens: must hold a block of {max(sizes)} tokens")
    paths = {size: cached_blocks(trace, size, order) for size in sizes}
    shared = {size: Sharing.of(trace, order, size).shared_blocks for size in sizes}
    prompts = int(trace.prompt_tokens.sum(dtype=np.int64))
    curves = [(size, policy) for size in sizes for policy in policies]
    for size, policy in console.progress(curves, desc=f"sweep {name}", unit="curve"):
        accesses = len(paths[size].block)
        for capacity in (*tokens, math.inf):
            blocks = capacity // size if math.isfinite(capacity) else math.inf
            gib = None if kv_bytes is None else blocks * size * kv_bytes / 2**30
            evicts = blocks < paths[size].distinct
            hits = hits_of(paths[size], policy, blocks) if evicts else shared[size]
            hit_blocks, hit_tokens = int(hits.sum()), int(np.minimum(hits * size, trace.prompt_tokens).sum())
            hit_rate = hit_blocks / accesses if accesses else None
            counts = (len(trace), accesses, hit_blocks)
            yield name, size, policy, capacity, blocks, gib, *counts, hit_rate, hit_tokens / prompts


def hits_of(paths: BlockPaths, policy: str, capacity: int) -> np.ndarray:
    """Hits int64 [R] (blocks) of each request in a cache of `capacity` >= 1 blocks, empty at first.

    LabError if the policy cannot work in a cache that small.
    """
    about = POLICIES[policy]
    if capacity < about.least_blocks:
        needed = f"{policy} needs a cache of {about.least_blocks} blocks, got {capacity}"
        raise LabError(f"{needed}; leave out the policy or the capacity")
    if about.library:
        make = getattr(libcachesim, about.library)
        return library_hits(paths, make(cache_size=capacity, hashpower=capacity.bit_length() + 1), capacity)
    code = SIMULATED.index(policy)
    later = _next_request(paths) if code == BELADY else paths.block
    return _simulate(paths.block, paths.offsets, later, paths.distinct, code, capacity)


def library_hits(paths: BlockPaths, cache: libcachesim.CacheBase, capacity: int) -> np.ndarray:
    """Hits of each request, as of `hits_of`, with an empty cache of libCacheSim."""
    find, get = cache.find, cache.get
    request = libcachesim.Request()
    request.obj_size = 1
    hits = np.zeros(len(paths), dtype=np.int64)
    for row, blocks in enumerate(paths.split()):
        path = blocks[:capacity]
        for block in path:
            request.obj_id = block
            if find(request, False) is None:
                break
            hits[row] += 1
        for block in reversed(path):
            request.obj_id = block
            get(request)
    return hits


def _next_request(paths: BlockPaths) -> np.ndarray:
    """int64 [A]: the next request that accesses the same block; R where none does."""
    request = np.repeat(np.arange(len(paths)), np.diff(paths.offsets))
    order = np.argsort(paths.block, kind="stable")  # the accesses of a block become neighbours
    again = np.flatnonzero(np.diff(paths.block[order]) == 0)
    later = np.full(len(order), len(paths))
    later[order[again]] = request[order[again + 1]]
    return later


@njit(cache=True)
def _simulate(block, offsets, later, distinct, policy, capacity):  # pragma: no cover (compiled)
    requests = len(offsets) - 1
    longest = np.diff(offsets).max() + 1 if requests else 1
    cached = np.zeros(distinct, np.bool_)
    key = np.full(distinct, -1)  # eviction order, smallest first; a heap entry with another key is outdated
    count = np.zeros(distinct, np.int64)
    inserted = np.zeros(distinct, np.int64)
    hits = np.zeros(requests, np.int64)
    heap = [(np.int64(0), np.int64(0)) for _ in range(0)]  # empty, but its type is known
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
