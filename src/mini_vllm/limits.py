"""The limits of a run: vLLM's, by vLLM's names."""

from dataclasses import dataclass

from mini_vllm.clock import DEFAULT_CLOCK, Clock, CostModel
from mini_vllm.errors import MiniError


@dataclass(frozen=True)
class Limits:
    """Mirrors vLLM's SchedulerConfig and CacheConfig. MiniError for values that vLLM would refuse."""

    num_blocks: int  # as num_gpu_blocks: one is the null block, num_blocks - 1 are usable
    block_size: int = 16  # tokens in a block
    max_num_seqs: int = 256  # requests that run at once
    max_num_batched_tokens: int = 8192  # tokens in a step
    policy: str = "fcfs"  # or priority, from v3 on
    prefix_caching: bool = True  # v4 only
    chunked_prefill: bool = True  # from v3 on
    clock: Clock | CostModel = DEFAULT_CLOCK

    def __post_init__(self) -> None:
        for name, least in (("num_blocks", 2), ("block_size", 1), ("max_num_seqs", 1)):
            if getattr(self, name) < least:
                raise MiniError(f"{name} is {getattr(self, name)}, must be at least {least}")
        if self.max_num_batched_tokens < self.max_num_seqs:
            raise MiniError(
                f"max_num_batched_tokens ({self.max_num_batched_tokens}) must be at least max_num_seqs "
                f"({self.max_num_seqs}), as in vLLM's SchedulerConfig; raise the one or lower the other"
            )
        if self.policy not in ("fcfs", "priority"):
            raise MiniError(f"policy is {self.policy!r}, must be fcfs or priority")
        if min(self.clock) < 0:
            raise MiniError(f"clock is {','.join(map(str, self.clock))}: a step cannot last less than 0 s")

    def refusal(self, total_tokens: int) -> str | None:
        """Why a request of `total_tokens` (prompt and output) could never finish, or None if it can.

        When its last token is sampled, it holds all the others in blocks. If it is preempted just then, it
        has to compute them all again, in one step if prefill is not chunked. vLLM would retry forever.
        """
        held = total_tokens - 1
        blocks = -(-held // self.block_size)
        if blocks > self.num_blocks - 1:
            return f"needs {blocks} blocks, {self.num_blocks - 1} are usable"
        if not self.chunked_prefill and held > self.max_num_batched_tokens:
            return (
                f"needs {held} tokens in one step without chunked prefill, "
                f"max_num_batched_tokens is {self.max_num_batched_tokens}"
            )
        return None
