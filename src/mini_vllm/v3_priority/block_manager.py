"""v1's blocks (victims are the scheduler's business now), with a place where v4 puts its prefix cache."""

from mini_vllm.request import Request
from mini_vllm.v1_naive import block_manager as v1


class BlockManager(v1.BlockManager):
    """Mirrors KVCacheManager with enable_prefix_caching off."""

    def find_cached(self, request: Request) -> list[int]:
        """Blocks that already hold the beginning of `request`: none, v3 caches nothing."""
        return []

    def can_admit(self, request: Request, cached: list[int]) -> bool:
        """Whether all tokens that `request` has now would fit, given that it reuses the blocks `cached`.

        All of them, though only a chunk may be computed at first: scheduler_reserve_full_isl, on by default,
        keeps half-computed prompts from filling the memory (kv_cache_manager.py, allocate_slots,
        full_sequence_must_fit). Room for the output is not reserved: that is why preemption exists.
        """
        return self.can_allocate(request, request.num_tokens)

    def cache_blocks(self, request: Request, num_tokens: int) -> None:
        """Make the blocks that the request's first `num_tokens` tokens fill known: nothing to do here."""

    def reuse(self, request: Request, cached: list[int]) -> None:
        """Make `cached` the beginning of the request's block table: nothing to do without a cache."""
