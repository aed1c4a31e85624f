"""The sharing of one trace at one block size: the tree, its accesses, and how much each request finds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vllm_lab.common.errors import LabError
from vllm_lab.sharing.accesses import Accesses
from vllm_lab.sharing.stream_order import StreamOrder
from vllm_lab.sharing.tree import PrefixTree
from vllm_lab.traces.trace import Trace


@dataclass(frozen=True, eq=False)
class Sharing:
    """What R prompts share in blocks of `block_tokens` tokens; earlier means in an earlier row."""

    trace: Trace
    block_tokens: int
    tree: PrefixTree
    accesses: Accesses  # by the prompts
    prompt_blocks: np.ndarray  # int64 [R], blocks of each prompt that can be cached
    shared_blocks: np.ndarray  # int64 [R], leading ones that an earlier prompt has too
    shared_with_generated: np.ndarray | None  # int64 [R], … that an earlier prompt or its output has

    @property
    def shared_tokens(self) -> np.ndarray:
        """int64 [R]: prompt tokens in the shared blocks (a partial last block counts what it holds)."""
        return np.minimum(self.shared_blocks * self.block_tokens, self.trace.prompt_tokens)

    @classmethod
    def of(cls, trace: Trace, order: StreamOrder, block_size: int, *, partial: bool = True) -> Sharing:
        """Analyse `trace` in blocks of `block_size` tokens.

        A trace of tokens has full blocks only. In a trace of blocks, `block_size` must be its own, and
        `partial` says whether a prompt's last block counts although it is not full (it has an id there).
        Generated blocks enter the cache as vLLM's do: those that are full without the last output token,
        which is never computed; unknown (None) in a trace of blocks.
        """
        _check(trace, block_size)
        if trace.unit == "block":
            prompt_blocks = trace.prompt_units if partial else trace.prompt_tokens // np.int64(block_size)
            extents = [prompt_blocks]
        else:
            prompt_blocks = trace.prompt_tokens // np.int64(block_size)
            computed = trace.prompt_tokens.astype(np.int64) + trace.output_tokens - 1
            extents = [prompt_blocks, computed // block_size]
        tree, leaves = PrefixTree.grow(order, block_size // trace.block_tokens, trace.stream, extents)
        accesses = Accesses.of(tree, leaves[0])
        shared = _found(tree, accesses, accesses, len(trace))
        generated = (
            _found(tree, accesses, Accesses.of(tree, leaves[1]), len(trace)) if len(leaves) > 1 else None
        )
        return cls(trace, block_size, tree, accesses, prompt_blocks, shared, generated)


def shared_prefix_tokens(trace: Trace, order: StreamOrder) -> np.ndarray | None:
    """int64 [R]: longest common token prefix of each prompt with any earlier one; None in a trace of blocks.

    The bound that no block size can pass.
    """
    if trace.unit == "block":
        return None
    tree, (leaf,) = PrefixTree.grow(order, 1, trace.stream, [trace.prompt_tokens.astype(np.int64)])
    accesses = Accesses.of(tree, leaf)
    return _found(tree, accesses, accesses, len(trace))


def _found(tree: PrefixTree, wanted: Accesses, stored: Accesses, requests: int) -> np.ndarray:
    """int64 [R]: blocks that a request wants and an earlier one stored. They lead its path, for whoever
    stored a block stored all before it."""
    earlier = stored.first_request(len(tree))[wanted.segment] < wanted.request
    blocks = np.where(earlier, tree.blocks[wanted.segment], 0)
    return np.bincount(wanted.request, weights=blocks, minlength=requests).astype(np.int64)


def _check(trace: Trace, block_size: int) -> None:
    if not len(trace):
        raise LabError("the trace has no requests: nothing can be shared; check the selection that made it")
    if block_size < 1:
        raise LabError(f"block size {block_size}: must be at least 1 token")
    if trace.unit == "block" and block_size != trace.block_tokens:
        raise LabError(
            f"block size {block_size}: this trace holds hashes of blocks of {trace.block_tokens} tokens, "
            "which is the only block size it can be analysed at"
        )
