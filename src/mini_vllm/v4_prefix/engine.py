"""v1's loop around v4's parts."""

from mini_vllm.v3_priority import engine as v3
from mini_vllm.v4_prefix.block_manager import BlockManager
from mini_vllm.v4_prefix.scheduler import Scheduler


class Engine(v3.Engine):
    """vLLM's decisions with prefix caching on; v3's where it is switched off."""

    def build(self) -> tuple[BlockManager, Scheduler]:
        """This version's parts."""
        if not self.limits.prefix_caching:
            return super().build()
        blocks = BlockManager(self.limits.num_blocks, self.limits.block_size)
        return blocks, Scheduler(self.limits, blocks)
