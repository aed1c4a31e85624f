"""The limits under which a scheduler is replayed, and its clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from vllm_lab.errors import LabError


class Clock(NamedTuple):
    """Seconds that a step lasts: base + per_token × scheduled tokens + per_request × scheduled requests."""

    base: float
    per_token: float
    per_request: float

    def step_seconds(self, tokens: int, requests: int) -> float:
        """Seconds of a step that schedules `tokens` tokens of `requests` requests."""
        return self.base + self.per_token * tokens + self.per_request * requests


DEFAULT_CLOCK = Clock(0.01, 0.00001, 0.0001)


@dataclass(frozen=True)
class Settings:
    """vLLM's names and meanings; what is not here has vLLM's default. LabError where vLLM would refuse."""

    num_blocks: int  # one is the null block: num_blocks - 1 are usable
    block_size: int = 16  # tokens a block
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 8192
    policy: str = "fcfs"  # or priority: smaller is served earlier
    prefix_caching: bool = True
    chunked_prefill: bool = True
    clock: Clock = DEFAULT_CLOCK

    def __post_init__(self) -> None:
        for name, least in (("num_blocks", 2), ("block_size", 1), ("max_num_seqs", 1)):
            if getattr(self, name) < least:
                raise LabError(f"{name} is {getattr(self, name)}, must be at least {least}")
        if self.max_num_batched_tokens < self.max_num_seqs:
            raise LabError(
                f"max_num_batched_tokens ({self.max_num_batched_tokens}) must be at least max_num_seqs "
                f"({self.max_num_seqs}), as vLLM's SchedulerConfig demands; raise the one or lower the other"
            )
        if self.policy not in ("fcfs", "priority"):
            raise LabError(f"policy is {self.policy!r}, must be fcfs or priority")
        if min(self.clock) < 0:
            raise LabError(f"clock is {','.join(map(str, self.clock))}: a step cannot last less than 0 s")

    def refusal(self, prompt_tokens: int, output_tokens: int) -> str | None:
        """Why a request could never finish, or None if it can; mini_vllm refuses the same.

        When its last token is sampled it holds all the others in blocks, and preempted just then it has to
        compute them all again, in one step where prefill is not chunked. vLLM would idle over it for ever.
        """
        held = prompt_tokens + output_tokens - 1
        blocks = -(-held // self.block_size)
        if blocks > self.num_blocks - 1:
            return f"needs {blocks} blocks, {self.num_blocks - 1} are usable"
        if not self.chunked_prefill and held > self.max_num_batched_tokens:
            return (
                f"needs {held} tokens in one step without chunked prefill, "
                f"max_num_batched_tokens is {self.max_num_batched_tokens}"
            )
        return None
