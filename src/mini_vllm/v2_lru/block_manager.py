"""v1's blocks, and a list of who holds them in the order in which they were scheduled."""

from mini_vllm.request import Request
from mini_vllm.v1_naive import block_manager as v1
from mini_vllm.v2_lru.linked_list import LinkedList


class BlockManager(v1.BlockManager):
    """Remembers which holder of blocks was scheduled least recently."""

    def __init__(self, num_blocks: int, block_size: int) -> None:
        super().__init__(num_blocks, block_size)
        self.holders = LinkedList()  # requests, the least recently scheduled first

    def touch(self, request: Request) -> None:
        """`request` is being scheduled: it becomes the most recent."""
        if request in self.holders:
            self.holders.remove(request)
        self.holders.append(request)

    def release(self, request: Request) -> None:
        """Take back all of a request's blocks and forget the request."""
        super().release(request)
        self.holders.remove(request)
