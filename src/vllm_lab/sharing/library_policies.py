"""Eviction policies of libCacheSim under the prefix rule.

A request's lookup asks for its leading blocks without telling the policy (find); then every block of its path
is accessed, the deepest first, so that the roots are the younger in the policy's queues. The library knows no
pinning: a policy may evict a request's own block while the request is served. A path longer than the cache is
cut to its leading blocks, as in `policies`. docs/sharing.md says which policies join and why others do not.
"""

from __future__ import annotations

import libcachesim
import numpy as np

from vllm_lab.common.errors import LabError
from vllm_lab.sharing.paths import BlockPaths

LIBRARY = {
    "s3fifo": libcachesim.S3FIFO,
    "sieve": libcachesim.Sieve,
    "arc": libcachesim.ARC,
}
LEAST_BLOCKS = {"s3fifo": 20}  # its small queue, a tenth of the cache, takes nothing below two blocks


def replay(paths: BlockPaths, policy: str, capacity: int) -> np.ndarray:
    """Hits int64 [R] (blocks) of each request in a cache of `capacity` blocks, empty at first.

    LabError if the policy cannot work in a cache that small.
    """
    least = LEAST_BLOCKS.get(policy, 1)
    if capacity < least:
        raise LabError(
            f"{policy} needs a cache of {least} blocks, got {capacity}; leave out it or the capacity"
        )
    return _replay(paths, LIBRARY[policy](cache_size=capacity, hashpower=capacity.bit_length() + 1), capacity)


def _replay(paths: BlockPaths, cache: libcachesim.CacheBase, capacity: int) -> np.ndarray:
    find, get = cache.find, cache.get
    request = libcachesim.Request()
    request.obj_size = 1
    blocks, offsets = paths.block.tolist(), paths.offsets.tolist()
    hits = np.zeros(len(paths), dtype=np.int64)
    for row in range(len(paths)):
        path = blocks[offsets[row] : min(offsets[row + 1], offsets[row] + capacity)]
        run = 0
        for block in path:
            request.obj_id = block
            if find(request, False) is None:
                break
            run += 1
        hits[row] = run
        for block in reversed(path):
            request.obj_id = block
            get(request)
    return hits
