"""v1's blocks: v3's scheduler chooses the victims itself. Two methods take what v4 finds in its cache."""

from mini_vllm.request import Request
from mini_vllm.v1_naive import block_manager as v1


class BlockManager(v1.BlockManager):
    """Mirrors KVCacheManager with enable_prefix_caching off."""

    def find_cached(self, request: Request) -> list[int]:
        """Blocks that already hold the beginning of `request`. v3 has no cache and finds nothing."""
        return []

    def can_start(self, request: Request, cached: list[int]) -> bool:
        """Whether all tokens that `request` has now would fit, given that it reuses the blocks `cached`.

        All of them, though perhaps only a chunk is computed at first: vLLM's scheduler_reserve_full_isl, on
        by default, keeps half-computed prompts from filling the memory (kv_cache_manager.py, allocate_slots,
        full_sequence_must_fit). Room for the output is not reserved. That is why preemption exists.
        """
        return self.can_allocate(request, request.num_tokens)

    def start(self, request: Request, cached: list[int], num_tokens: int) -> None:
        """Give `request`, which starts, the blocks `cached` and room for its first `num_tokens` tokens."""
        self.allocate(request, num_tokens)
