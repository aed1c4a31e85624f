"""Watching one of vLLM's Schedulers at work: what it preempts and evicts, in order."""

from __future__ import annotations

import functools
from typing import Any

NAME_BYTES = 8


def block_name(digest: bytes) -> str:
    """How records name a block: its hash's first 8 bytes, hexadecimal."""
    return digest[:NAME_BYTES].hex()


class Watch:
    """Hooks on a Scheduler, alone or inside a whole engine, that write down the order of its decisions."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self._pool = scheduler.kv_cache_manager.block_pool
        self._preempted: list[str] = []
        self._evicted: list[str] = []
        self._watch_preemptions()
        self._watch_evictions()

    @property
    def free_blocks(self) -> int:
        """Blocks that the pool could hand out now, the cached but unreferenced ones among them."""
        return self._pool.get_num_free_blocks()

    def take_events(self) -> tuple[list[str], list[str]]:
        """(preempted request ids, evicted block names) since the last call, in order."""
        events = self._preempted, self._evicted
        self._preempted, self._evicted = [], []
        return events

    def _watch_preemptions(self) -> None:
        # SchedulerOutput.preempted_req_ids is a set: the order is to be had only here.
        preempt = self.scheduler._preempt_request

        @functools.wraps(preempt)
        def watched(request: Any, *args: Any, **kwargs: Any) -> None:
            self._preempted.append(request.request_id)
            preempt(request, *args, **kwargs)

        self.scheduler._preempt_request = watched

    def _watch_evictions(self) -> None:
        evict = self._pool._maybe_evict_cached_block

        @functools.wraps(evict)
        def watched(block: Any) -> bool:
            key = block.block_hash  # block hash followed by 4 bytes of cache group; evict resets it
            evicted = evict(block)
            if evicted:
                self._evicted.append(block_name(key))
            return evicted

        self._pool._maybe_evict_cached_block = watched
