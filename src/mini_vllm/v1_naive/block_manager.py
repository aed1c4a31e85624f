"""GPU memory as a list of free block ids. Mirrors vLLM's KVCacheManager and BlockPool, much simplified."""

from collections.abc import Iterator

from mini_vllm.errors import OutOfBlocks
from mini_vllm.request import Request
from mini_vllm.tools.ranges import nvtx_range


class BlockManager:
    """Hands out blocks of `block_size` tokens and takes them back."""

    def __init__(self, num_blocks: int, block_size: int) -> None:
        self.block_size = block_size
        self.num_usable = num_blocks - 1
        # Block 0 is never handed out: vLLM keeps it as its null block (block_pool.py, BlockPool.__init__).
        self.free = list(range(self.num_usable, 0, -1))

    @property
    def num_free(self) -> int:
        """Blocks that could be handed out now."""
        return len(self.free)

    def num_missing(self, request: Request, num_tokens: int) -> int:
        """Blocks that `request` lacks to hold its first `num_tokens` tokens; 0 or less if it has them."""
        return -(-num_tokens // self.block_size) - len(request.block_table)

    def can_allocate(self, request: Request, num_tokens: int) -> bool:
        """Whether `allocate` would succeed."""
        return self.num_missing(request, num_tokens) <= self.num_free

    @nvtx_range("block_manager.allocate")
    def allocate(self, request: Request, num_tokens: int) -> None:
        """Give `request` room for its first `num_tokens` tokens. OutOfBlocks if there is too little."""
        missing = self.num_missing(request, num_tokens)
        if missing > self.num_free:
            raise OutOfBlocks(f"{request.request_id} needs {missing} blocks, {self.num_free} are free")
        if missing > 0:
            request.block_table += self.take(missing)

    def take(self, count: int) -> list[int]:
        """The ids of `count` free blocks."""
        return [self.free.pop() for _ in range(count)]

    def release(self, request: Request) -> None:
        """Take back all of a request's blocks, the last one first."""
        self.free += reversed(request.block_table)
        request.block_table = []

    def take_evicted(self) -> Iterator[str]:
        """Names of the cached blocks given up since the last call. Only v4 caches blocks."""
        return iter(())
