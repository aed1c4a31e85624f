"""One request: what the trace says about it, and how far it has come. Mirrors vllm/v1/request.py::Request."""

from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field

import numpy as np

TOKEN_BYTES = 4  # a token id is an int32, little-endian


@dataclass(slots=True, eq=False)
class Request:
    """The trace's row and the scheduler's counters. Requests are compared and hashed by identity.

    The trace holds the whole prompt and output from the start, but the scheduler only looks at the first
    `num_tokens` of them: the prompt, and the output tokens that have been "generated" so far.
    """

    request_id: str
    arrival_time: float  # s
    priority: int  # a smaller number is served earlier
    prompt: InitVar[Sequence[int]]  # token ids (int32)
    output: InitVar[Sequence[int]]
    prompt_tokens: int = field(init=False)
    output_tokens: int = field(init=False)
    total_tokens: int = field(init=False)
    token_bytes: bytes = field(init=False)  # prompt and output; a slice is a block's content (see `block`)
    tokens_per_id: int = field(init=False, default=1)  # more in a trace of block ids (see tools.trace)

    num_tokens: int = field(init=False)  # prompt and tokens generated so far
    num_computed_tokens: int = field(init=False, default=0)  # in the KV cache, or scheduled to be
    block_table: list[int] = field(init=False, default_factory=list)  # block ids, in order of the tokens

    cached_tokens: int | None = field(init=False, default=None)  # found in the cache at its first admission
    preemptions: int = field(init=False, default=0)
    first_token_time: float | None = field(init=False, default=None)  # s
    last_token_time: float | None = field(init=False, default=None)  # s

    def __post_init__(self, prompt: Sequence[int], output: Sequence[int]) -> None:
        self.prompt_tokens = self.num_tokens = len(prompt)
        self.output_tokens = len(output)
        self.total_tokens = len(prompt) + len(output)
        self.token_bytes = np.concatenate([np.asarray(ids, "<i4") for ids in (prompt, output)]).tobytes()

    @property
    def finished(self) -> bool:
        """True once the last output token has appeared."""
        return self.num_tokens == self.total_tokens

    def block_width(self, block_size: int) -> int:
        """How many of token_bytes hold the content of one block: 64 for 16 tokens."""
        return TOKEN_BYTES * block_size // self.tokens_per_id

    def block(self, block_size: int, index: int) -> bytes:
        """The content of block `index` as bytes: a key for dictionaries, and the input of the block's hash.

        Blocks of 16 tokens have 64 bytes, so block 2 is token_bytes[128:192].
        """
        width = self.block_width(block_size)
        return self.token_bytes[index * width : (index + 1) * width]

    def append_token(self, now: float) -> None:
        """The next output token appears at `now` (s)."""
        self.num_tokens += 1
        self.last_token_time = now
        if self.first_token_time is None:
            self.first_token_time = now

    def __repr__(self) -> str:
        return f"Request({self.request_id}, {self.num_computed_tokens}/{self.num_tokens} tokens)"
