"""v1's loop around v3's parts."""

from mini_vllm.v2_lru import engine as v2
from mini_vllm.v3_priority.block_manager import BlockManager
from mini_vllm.v3_priority.scheduler import Scheduler


class Engine(v2.Engine):
    """vLLM's decisions with prefix caching off."""

    CHUNKS = True

    def build(self) -> tuple[BlockManager, Scheduler]:
        """This version's parts."""
        blocks = BlockManager(self.limits.num_blocks, self.limits.block_size)
        return blocks, Scheduler(self.limits, blocks)
