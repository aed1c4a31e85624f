"""Blocks that outlive their request. Mirrors KVCacheManager, FullAttentionManager and BlockPool."""

from collections import OrderedDict
from collections.abc import Iterator

from mini_vllm.request import Request
from mini_vllm.tools.ranges import nvtx_range
from mini_vllm.v3_priority import block_manager as v3
from mini_vllm.v4_prefix.prefix_cache import Node, PrefixCache


class BlockManager(v3.BlockManager):
    """Reference counts say who uses a block. A free block stays cached until it is handed out.

    `free` holds the blocks without a user in the order in which they will be handed out. An OrderedDict is
    v2's LinkedList with its hash map, written in C.
    """

    def __init__(self, num_blocks: int, block_size: int) -> None:
        super().__init__(num_blocks, block_size)
        self.free: OrderedDict[int, None] = OrderedDict.fromkeys(range(1, num_blocks))
        self.references = [0] * num_blocks  # by block id
        self.cache = PrefixCache(block_size)
        self.paths: dict[Request, list[Node]] = {}  # the nodes of a running request's cached blocks, in order
        self.evicted: list[Node] = []

    def find_cached(self, request: Request) -> list[int]:
        """The longest run of cached blocks that hold the beginning of `request`.

        Never all of its tokens: the last one must be computed to get the next. With blocks of 4 and 8 tokens,
        all cached, only block 0 is used, and block 1 is computed again (kv_cache_manager.py,
        get_computed_blocks, max_cache_hit_length).
        """
        found = []
        node = self.cache.root
        tokens, width = request.token_bytes, request.block_width(self.block_size)
        usable = (request.num_tokens - 1) // self.block_size  # blocks
        for start in range(0, usable * width, width):  # Request.block, without a call for each block
            node = node.children.get(tokens[start : start + width])
            if node is None or not node.blocks:
                break
            found.append(node.blocks[0])
        return found

    def can_start(self, request: Request, cached: list[int]) -> bool:
        """Whether all of the request's tokens fit. Cached blocks without a user count as needed, too: they
        are among the free ones and leave them (single_type_kv_cache_manager.py, num_evictable_blocks)."""
        unused = sum(self.references[block] == 0 for block in cached)
        return self.num_missing(request, request.num_tokens) - len(cached) + unused <= self.num_free

    def start(self, request: Request, cached: list[int], num_tokens: int) -> None:
        """Make `cached` the beginning of the block table (BlockPool.touch), then allocate the rest."""
        for block in cached:
            if self.references[block] == 0:
                del self.free[block]
            self.references[block] += 1
        request.block_table = list(cached)
        node_of = self.cache.node_of
        self.paths[request] = [node_of[block] for block in cached]
        self.allocate(request, num_tokens)

    @nvtx_range("block_manager.allocate")
    def allocate(self, request: Request, num_tokens: int) -> None:
        """Give `request` room for its first `num_tokens` tokens, and cache the blocks that these fill.

        At once, before they are computed: a request scheduled later in the same step already finds them,
        since the model runs them in order (kv_cache_manager.py, allocate_slots, its last lines).
        """
        super().allocate(request, num_tokens)
        self.cache_blocks(request, num_tokens)

    def cache_blocks(self, request: Request, num_tokens: int) -> None:
        """Enter the blocks that the request's first `num_tokens` tokens fill into the cache."""
        path, tokens, width = self.paths[request], request.token_bytes, request.block_width(self.block_size)
        node = path[-1] if path else self.cache.root
        for index in range(len(path), num_tokens // self.block_size):
            content = tokens[index * width : (index + 1) * width]  # Request.block, without a call
            node = self.cache.insert(node, content, request.block_table[index])
            path.append(node)

    def take(self, count: int) -> list[int]:
        """The blocks at the front of the free ones. What they held is forgotten only now."""
        taken = []
        for _ in range(count):
            block, _ = self.free.popitem(last=False)
            if block in self.cache.node_of:
                self.evicted.append(self.cache.evict(block))
            self.references[block] = 1
            taken.append(block)
        return taken

    def release(self, request: Request) -> None:
        """Drop the request's references, the last block first, so that the beginning, which more requests
        share, is evicted last. Mirrors BlockPool.free_blocks.

        Cached blocks go to the back of the free ones. Blocks that are not full hold nothing of use and go to
        the front. With a table of 1, 2 (cached) and 3, 4 (not cached), free becomes [4, 3, …, 2, 1].
        """
        uncached = []
        for block in reversed(request.block_table):
            self.references[block] -= 1
            if self.references[block] == 0:
                if block in self.cache.node_of:
                    self.free[block] = None
                else:
                    uncached.append(block)
        for block in reversed(uncached):
            self.free[block] = None
            self.free.move_to_end(block, last=False)
        request.block_table = []
        del self.paths[request]

    def take_evicted(self) -> Iterator[str]:
        """Names of the cached blocks given up since the last call, in order. A name is computed when it is
        read, since hashing takes longer than evicting and not every run writes steps."""
        evicted, self.evicted = self.evicted, []
        return map(self.cache.name, evicted)
