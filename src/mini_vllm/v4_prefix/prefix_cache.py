"""A trie of blocks: a path from the root spells the beginning of a prompt, block by block.

vLLM has a hash map instead (block_pool.py, BlockHashToBlockMap). Its keys contain the parent's hash, so that
a key identifies the whole beginning. The trie shows directly what the chained hashes mean; a step down is a
lookup.
"""

import hashlib

from mini_vllm.request import TOKEN_BYTES

NO_PARENT = bytes(32)  # the parent's hash of a first block


class Node:
    """The content of one block after its parent's. `blocks` are the ids that hold it, the oldest first.

    Two requests that compute the same content at once keep two blocks: vLLM does not merge them, since block
    tables only grow (block_pool.py, BlockHashToBlockMap). A node whose blocks are all evicted stays as long
    as it has children. With chained hashes it is the same: the blocks behind a hole stay cached, but nobody
    can reach them until the hole is filled again.
    """

    __slots__ = ("blocks", "children", "digest", "parent", "tokens")

    def __init__(self, parent: "Node | None", tokens: bytes) -> None:
        self.parent = parent
        self.tokens = tokens  # see Request.block
        self.children: dict[bytes, Node] = {}
        self.blocks: list[int] = []
        self.digest: bytes | None = None  # sha256, once it has been asked for


class PrefixCache:
    """Which full blocks hold what."""

    def __init__(self, block_size: int) -> None:
        self.block_bytes = TOKEN_BYTES * block_size
        self.root = Node(None, b"")
        self.root.digest = NO_PARENT
        self.node_of: dict[int, Node] = {}  # block id -> its node, for blocks that are cached
        self.evictions = 0  # so far

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
        self.evictions += 1
        evicted = node = self.node_of.pop(block)
        node.blocks.remove(block)
        while not node.blocks and not node.children and node.parent is not None:
            del node.parent.children[node.tokens]
            node = node.parent
        return evicted

    def name(self, node: Node) -> str:
        """How records name a block of `node`: the first 8 bytes of its hash, hexadecimal.

        A node's hash is sha256(hash of its parent + its tokens), so a hash needs those of all nodes above it.
        The first loop walks up to a node whose hash is known, at the latest the root. The second walks down
        again and keeps what it computes: after the name of a third block, that of a fourth takes one sha256.
        """
        unknown = []
        while node.digest is None:
            unknown.append(node)
            node = node.parent
        digest = node.digest
        for node in reversed(unknown):
            # A trace of block ids has one id for all tokens of a block, 4 bytes instead of 4 × block_size.
            # The hash is that of a block in which every token has this id.
            tokens = node.tokens * (self.block_bytes // len(node.tokens))
            digest = node.digest = hashlib.sha256(digest + tokens).digest()
        return digest[:8].hex()
