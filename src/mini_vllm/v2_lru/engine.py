"""v1's loop around v2's parts."""

from mini_vllm.v1_naive import engine as v1
from mini_vllm.v2_lru.block_manager import BlockManager
from mini_vllm.v2_lru.scheduler import Scheduler


class Engine(v1.Engine):
    """Runs out of blocks without failing."""

    BLOCKS = BlockManager
    SCHEDULER = Scheduler
