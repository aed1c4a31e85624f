"""v3's scheduler as it is: in vLLM, too, the prefix cache is the block manager's business alone."""

from mini_vllm.v3_priority.scheduler import Scheduler

__all__ = ["Scheduler"]
