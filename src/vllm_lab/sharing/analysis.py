"""What the prompts of a trace share at one block size, and which blocks are in use over time."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from vllm_lab.traces.prefix_tree import Accesses, PrefixTree, StreamOrder, prompt_blocks
from vllm_lab.traces.trace import Trace


@dataclass(frozen=True, eq=False)
class Sharing:
    """What R prompts share in blocks of `block_tokens` tokens; earlier means in an earlier row."""

    trace: Trace
    block_tokens: int
    tree: PrefixTree
    accesses: Accesses  # by the prompts
    prompt_blocks: np.ndarray  # int64 [R], blocks of each prompt that can be cached
    shared_blocks: np.ndarray  # int64 [R], leading blocks that an earlier prompt also has
    shared_with_generated: np.ndarray | None = None  # int64 [R], the same for earlier prompts and outputs

    @property
    def shared_tokens(self) -> np.ndarray:
        """int64 [R]: prompt tokens in the shared blocks (a partial last block counts what it holds)."""
        return np.minimum(self.shared_blocks * self.block_tokens, self.trace.prompt_tokens)

    @classmethod
    def of(cls, trace: Trace, order: StreamOrder, block_size: int, *, partial: bool = True) -> Self:
        """Analyse `trace` in blocks of `block_size` tokens, counted as `prompt_blocks` counts them.

        Generated blocks enter the cache as they do in vLLM: those that are full without the last output
        token, which is never computed. They are unknown (None) in a trace of blocks.
        """
        blocks = prompt_blocks(trace, block_size, partial=partial)
        extents = [blocks]
        if trace.unit == "token":
            computed = trace.prompt_tokens.astype(np.int64) + trace.output_tokens - 1
            extents.append(computed // block_size)
        tree, leaves = PrefixTree.grow(order, block_size // trace.block_tokens, trace.stream, extents)
        stored = [Accesses.of(tree, leaf) for leaf in leaves]
        shared = [_found(tree, stored[0], kept, len(trace)) for kept in stored]
        return cls(trace, block_size, tree, stored[0], blocks, *shared)


@dataclass(frozen=True)
class SharedTokens:
    """The hits of an unbounded cache that stores every block at once: what the analysis predicts."""

    prompts: int  # tokens in leading blocks that an earlier prompt has
    with_outputs: int  # … or its output: no engine finds more

    @classmethod
    def of(cls, trace: Trace, block_size: int) -> Self:
        """For the prompts of a trace of tokens, in order of arrival, in blocks of `block_size` tokens.

        As in vLLM, a prompt's last token is always computed. A prompt that fills its blocks therefore
        computes its last block.
        """
        sharing = Sharing.of(trace, StreamOrder.of(trace), block_size)
        most = (trace.prompt_tokens.astype(np.int64) - 1) // block_size
        both = (sharing.shared_blocks, sharing.shared_with_generated)
        return cls(*(int(np.minimum(blocks, most).sum()) * block_size for blocks in both))


@dataclass(frozen=True, eq=False)
class WorkingSet:
    """W(t) = distinct blocks accessed in (t - window, t], from the first arrival of the trace to the last.

    (P. J. Denning, The working set model for program behavior, CACM 11(5), 1968.) A block enters the set with
    an access and leaves it when `window` seconds have passed without another access.
    """

    times: np.ndarray  # float64 [E] ascending: blocks enter or leave …
    changes: np.ndarray  # int64 [E]: … this many; below 0 if they leave
    span: tuple[float, float]  # first and last arrival, seconds

    @classmethod
    def of(cls, sharing: Sharing, window: float) -> Self:
        """Working set of the prompts' blocks for one window (s); inf: every block seen so far."""
        accesses, arrival = sharing.accesses, sharing.trace.arrival_time
        time, blocks = arrival[accesses.request], sharing.tree.blocks[accesses.segment]
        pause = np.append(np.diff(time), 0.0)[: len(time)]  # until the next access; last() overrules
        leaves = accesses.last() | (pause > window)
        enters = accesses.first.copy()
        enters[1:] |= leaves[:-1]
        leaves &= math.isfinite(window)
        times = np.concatenate([time[enters], time[leaves] + window])
        changes = np.concatenate([blocks[enters], -blocks[leaves]])
        order = np.argsort(times, kind="stable")
        return cls(times[order], changes[order], (float(arrival[0]), float(arrival[-1])))

    def at(self, time: np.ndarray) -> np.ndarray:
        """int64: blocks in the working set at each time (s)."""
        totals = np.append(0, np.cumsum(self.changes))
        return totals[np.searchsorted(self.times, time, side="right")]

    def peak(self) -> int:
        """The most blocks at any time of the trace."""
        return int(self.at(self.times).max(initial=0))

    def mean(self) -> float:
        """Mean number of blocks over the time of the trace, or their number if the trace has no duration."""
        first, last = self.span
        if last == first:
            return float(self.at(np.array([last]))[0])
        held = (self.changes * (last - self.times))[self.times < last]
        # Two exact sums, so that the result does not depend on the order of the changes.
        return (math.fsum(held[held > 0]) + math.fsum(held[held < 0])) / (last - first)


def _found(tree: PrefixTree, wanted: Accesses, stored: Accesses, requests: int) -> np.ndarray:
    """int64 [R]: blocks that a request wants and an earlier request stored. They are the beginning of its
    path, because a request that stored a block also stored all blocks before it."""
    earlier = stored.first_request(len(tree))[wanted.segment] < wanted.request
    blocks = np.where(earlier, tree.blocks[wanted.segment], 0)
    return np.bincount(wanted.request, weights=blocks, minlength=requests).astype(np.int64)
