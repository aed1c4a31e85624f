"""Blocks that outlive their request. Mirrors KVCacheManager, FullAttentionManager and BlockPool."""

from collections import OrderedDict
from collections.abc import Iterator

from mini_vllm.request import Request
from mini_vllm.tools.ranges import nvtx_range
from mini_vllm.v3_priority import block_manager as v3
from mini_vllm.v4_prefix.prefix_cache import Node, PrefixCache


class BlockManager(v3.BlockManager):
    """Reference counts say who uses a block; a block nobody uses is free, yet cached until it is handed out.

    `free` holds the blocks with no reference in the order in which they will be handed out: an OrderedDict
    is v2's LinkedList, written in C.
    """

    def __init__(self, num_blocks: int, block_size: int) -> None:
        super().__init__(num_blocks, block_size)
        self.free: OrderedDict[int, None] = OrderedDict.fromkeys(range(1, num_blocks))
        self.references = [0] * num_blocks
        self.cache = PrefixCache(block_size)
        self.evicted: list[Node] = []

    def find_cached(self, request: Request) -> list[int]:
        """The longest run of cached blocks that hold the beginning of `request`.

        Never all of its tokens: the last must be computed to get the next one, so a prompt that fills its
        blocks exactly and is all cached computes its last block again (kv_cache_manager.py,
        get_computed_blocks, max_cache_hit_length).
        """
        found = []
        node = self.cache.root
        width = request.block_width(self.block_size)
        tokens = request.token_bytes
        last = (request.num_tokens - 1) // self.block_size * width
        for start in range(0, last, width):
            node = node.children.get(tokens[start : start + width])
            if node is None or not node.blocks:
                break
            found.append(node.blocks[0])
        return found

    def can_admit(self, request: Request, cached: list[int]) -> bool:
        """Whether all of the request's tokens fit. Cached blocks that nobody uses count as needed, too: they
        are among the free ones and leave them (single_type_kv_cache_manager.py, num_evictable_blocks)."""
        unused = sum(self.references[block] == 0 for block in cached)
        return self.num_missing(request, request.num_tokens) - len(cached) + unused <= self.num_free

    def reuse(self, request: Request, cached: list[int]) -> None:
        """Make `cached` the beginning of the request's block table. Mirrors BlockPool.touch."""
        for block in cached:
            if self.references[block] == 0:
                del self.free[block]
            self.references[block] += 1
        request.block_table = list(cached)
        request.num_cached_blocks = len(cached)
        request.last_node = self.cache.node_of[cached[-1]] if cached else self.cache.root

    @nvtx_range("block_manager.allocate")
    def allocate(self, request: Request, num_tokens: int) -> None:
        """Give `request` room for its first `num_tokens` tokens and make the blocks they fill known.

        At once, before they are computed: a request scheduled later in the same step already hits them, as
        the model runs them in order (kv_cache_manager.py, allocate_slots, its last lines).
        """
        super().allocate(request, num_tokens)
        self.cache_blocks(request, num_tokens)

    def cache_blocks(self, request: Request, num_tokens: int) -> None:
        """Make the blocks that the request's first `num_tokens` tokens fill known by their content."""
        full = num_tokens // self.block_size
        width, node = request.block_width(self.block_size), request.last_node
        for index in range(request.num_cached_blocks, full):
            tokens = request.token_bytes[index * width : (index + 1) * width]
            node = self.cache.insert(node, tokens, request.block_table[index])
        request.num_cached_blocks, request.last_node = full, node

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
        """Drop the request's references, last block first, so that the beginning, which more requests share,
        is evicted last. Mirrors BlockPool.free_blocks.

        Cached blocks go to the back (least recently used first). The others hold nothing of use and go to
        the front; the last of the table comes to stand first of all, as vLLM prepends them as one list.
        """
        unknown = []
        for block in reversed(request.block_table):
            self.references[block] -= 1
            if self.references[block] == 0:
                if block in self.cache.node_of:
                    self.free[block] = None
                else:
                    unknown.append(block)
        for block in reversed(unknown):
            self.free[block] = None
            self.free.move_to_end(block, last=False)
        request.block_table = []
        request.num_slots = request.num_cached_blocks = 0
        request.last_node = None

    def take_evicted(self) -> Iterator[str]:
        """Names of the cached blocks given up since the last call, in order; worked out as they are read, for
        hashing takes longer than evicting and not every run writes steps."""
        evicted, self.evicted = self.evicted, []
        return map(self.cache.name, evicted)
