"""v1's loop around v3's parts."""

from mini_vllm.v1_naive import engine as v1
from mini_vllm.v3_priority.block_manager import BlockManager
from mini_vllm.v3_priority.scheduler import Scheduler


class Engine(v1.Engine):
    """vLLM's decisions with prefix caching off."""

    BLOCKS = BlockManager
    SCHEDULER = Scheduler
    CHUNKS = True
