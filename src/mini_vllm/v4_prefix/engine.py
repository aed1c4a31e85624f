"""v1's loop around v4's block manager and v3's scheduler."""

from collections.abc import Sequence

from mini_vllm.limits import Limits
from mini_vllm.request import Request
from mini_vllm.v3_priority import engine as v3
from mini_vllm.v4_prefix.block_manager import BlockManager


class Engine(v3.Engine):
    """vLLM's decisions with prefix caching on. With prefix caching off, it is v3."""

    BLOCKS = BlockManager

    def __init__(self, requests: Sequence[Request], limits: Limits) -> None:
        if not limits.prefix_caching:
            self.BLOCKS = v3.Engine.BLOCKS
        super().__init__(requests, limits)
