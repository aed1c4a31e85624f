"""A sweep: hit rates of prefix caches by block size, capacity and eviction policy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from vllm_lab.common import console
from vllm_lab.common.errors import LabError
from vllm_lab.sharing.analysis import Sharing
from vllm_lab.sharing.caches import LruCurve, hits_of
from vllm_lab.traces.block_paths import BlockPaths, SegmentPaths
from vllm_lab.traces.prefix_tree import StreamOrder
from vllm_lab.traces.trace import Trace


@dataclass(frozen=True, eq=False)
class Workload:
    """One trace at one block size, prepared for replays against caches."""

    sharing: Sharing

    @cached_property
    def paths(self) -> SegmentPaths:
        return SegmentPaths.of(self.sharing.tree, self.sharing.accesses, len(self.sharing.trace))

    @cached_property
    def blocks(self) -> BlockPaths:
        return self.paths.expand()

    @cached_property
    def lru_curve(self) -> LruCurve:
        return LruCurve.of(self.paths)

    def hits(self, policy: str, capacity: int) -> tuple[int, int]:
        """Block hits and prompt tokens in them, with a cache of `capacity` >= 1 blocks."""
        if capacity >= self.paths.distinct:  # nothing is ever evicted
            return self._totals(self.sharing.shared_blocks)
        if policy == "lru":
            return self._lru_totals(capacity)
        return self._totals(hits_of(self.blocks, policy, capacity))

    def _totals(self, hits: np.ndarray) -> tuple[int, int]:
        tokens = np.minimum(hits * self.sharing.block_tokens, self.sharing.trace.prompt_tokens)
        return int(hits.sum()), int(tokens.sum())

    def _lru_totals(self, capacity: int) -> tuple[int, int]:
        sharing, curve = self.sharing, self.lru_curve
        hits = int(curve.hits[capacity])
        # A partial last block (trace of blocks) holds fewer tokens than the others.
        lacking = np.maximum(sharing.prompt_blocks * sharing.block_tokens - sharing.trace.prompt_tokens, 0)
        last_hits = (curve.last_needs > 0) & (curve.last_needs <= capacity)
        return hits, hits * sharing.block_tokens - int(lacking[last_hits].sum())


def sweep_rows(
    trace: Trace,
    name: str,
    block_sizes: Sequence[int],
    capacities: Sequence[int],
    policies: Sequence[str],
    kv_bytes: int | None,
) -> Iterator[list[Any]]:
    """Rows of SWEEP: for each block size and policy the capacities, then an unbounded cache ("inf").

    capacities are in tokens, so that block sizes can be compared; a cache uses the whole blocks in them. A
    trace of blocks has its own block size and ignores block_sizes. kv_bytes are the bytes of one token's KV
    cache; None leaves capacity_gib empty.
    """
    order = StreamOrder.of(trace)
    sizes = [trace.block_tokens] if trace.unit == "block" else sorted(set(block_sizes))
    tokens = sorted(set(capacities))
    if tokens and tokens[0] < max(sizes):
        raise LabError(
            f"capacity of {tokens[0]} tokens: must hold a block, here of up to {max(sizes)} tokens"
        )
    workloads = {size: Workload(Sharing.of(trace, order, size)) for size in sizes}
    curves = [(size, policy) for size in sizes for policy in policies]
    for size, policy in console.progress(curves, desc=f"sweep {name}", unit="curve"):
        yield from _curve(name, workloads[size], policy, tokens, kv_bytes)


def _curve(
    name: str, workload: Workload, policy: str, tokens: Sequence[int], kv_bytes: int | None
) -> Iterator[list[Any]]:
    sharing = workload.sharing
    size, accesses = sharing.block_tokens, int(sharing.prompt_blocks.sum())
    prompts = int(sharing.trace.prompt_tokens.sum(dtype=np.int64))
    for capacity in (*tokens, math.inf):
        blocks = capacity // size if math.isfinite(capacity) else math.inf
        hits, hit_tokens = workload.hits(policy, min(blocks, max(1, workload.paths.distinct)))
        yield [
            name,
            size,
            policy,
            capacity,
            blocks,
            None if kv_bytes is None else blocks * size * kv_bytes / 2**30,
            len(sharing.trace),
            accesses,
            hits,
            hits / accesses if accesses else None,
            hit_tokens / prompts,
        ]
