"""A trie of blocks: a path from the root spells a prompt's beginning, block by block.

vLLM has a hash map instead (block_pool.py, BlockHashToBlockMap), whose keys chain the parent's hash, so that
a key stands for the whole beginning. The trie shows the same thing as what it is; a walk is a lookup.
"""

import hashlib

from mini_vllm.request import TOKEN_BYTES

NO_PARENT = bytes(32)  # stands for the hash of the parent of a first block


class Node:
    """One block's content after its parent's. `blocks` are the ids that hold it, the oldest first.

    Two requests that compute the same content at once keep two blocks: vLLM does not merge them, as block
    tables only grow (block_pool.py, BlockHashToBlockMap). A node whose blocks are all evicted stays as long
    as something hangs on it: with a chained hash map, too, the blocks behind a hole stay cached, out of
    reach until the hole is filled again.
    """

    __slots__ = ("blocks", "children", "digest", "parent", "tokens")

    def __init__(self, parent: "Node | None", tokens: bytes) -> None:
        self.parent = parent
        self.tokens = tokens  # Request.block_tokens
        self.children: dict[bytes, Node] = {}
        self.blocks: list[int] = []
        self.digest: bytes | None = None


class PrefixCache:
    """Which full blocks hold what."""

    def __init__(self, block_size: int) -> None:
        self.block_bytes = TOKEN_BYTES * block_size
        self.root = Node(None, b"")
        self.root.digest = NO_PARENT
        self.node_of: dict[int, Node] = {}  # block id -> its node, for blocks that are cached

    def insert(self, parent: Node, tokens: bytes, block: int) -> Node:
        """`block` now holds `tokens` after all that leads to `parent`; return its node."""
        node = parent.children.get(tokens)
        if node is None:
            node = parent.children[tokens] = Node(parent, tokens)
        node.blocks.append(block)
        self.node_of[block] = node
        return node

    def evict(self, block: int) -> Node:
        """Forget `block`, which is cached; return the node it had."""
        evicted = node = self.node_of.pop(block)
        node.blocks.remove(block)
        while not node.blocks and not node.children and node.parent is not None:
            del node.parent.children[node.tokens]
            node = node.parent
        return evicted

    def name(self, node: Node) -> str:
        """How records name a block of `node`: its hash's first 8 bytes, hexadecimal.

        The hash is sha256 of the parent's hash and the block's tokens. It is only worked out for blocks that
        are evicted, and kept.
        """
        path = []
        while node.digest is None:
            path.append(node)
            node = node.parent
        digest = node.digest
        for node in reversed(path):
            # One id may stand for all tokens of a block (Request.of_blocks).
            tokens = node.tokens * (self.block_bytes // len(node.tokens))
            digest = node.digest = hashlib.sha256(digest + tokens).digest()
        return digest[:8].hex()
