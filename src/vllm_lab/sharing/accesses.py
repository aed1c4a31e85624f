"""Which request accesses which segment of the prefix tree, and in what order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vllm_lab.sharing.tree import PrefixTree


@dataclass(frozen=True, eq=False)
class Accesses:
    """A pairs (segment, request), sorted by segment, then by request (the trace's row)."""

    segment: np.ndarray  # int64 [A]
    request: np.ndarray  # int64 [A]
    first: np.ndarray  # bool [A], the segment's first access

    @classmethod
    def of(cls, tree: PrefixTree, leaf: np.ndarray) -> Accesses:
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
