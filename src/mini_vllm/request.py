"""One request: what the trace says about it, and how far it has come. Mirrors vllm/v1/request.py::Request."""

from collections.abc import Sequence

import numpy as np

TOKEN_BYTES = 4  # a token id is an int32, little-endian


class Request:
    """The trace's row and the scheduler's counters. Requests are compared and hashed by identity.

    The trace holds the whole prompt and output from the start, but the scheduler only looks at the first
    `num_tokens` of them: the prompt, and the output tokens that have been "generated" so far.
    """

    __slots__ = (
        "arrival_time",
        "block_table",
        "cached_tokens",
        "first_token_time",
        "last_token_time",
        "num_computed_tokens",
        "num_tokens",
        "output_tokens",
        "preemptions",
        "priority",
        "prompt_tokens",
        "request_id",
        "token_bytes",
        "total_tokens",
    )

    def __init__(
        self,
        request_id: str,
        arrival_time: float,
        priority: int,
        prompt: Sequence[int],
        output: Sequence[int],
    ) -> None:
        """A request of `prompt` [prompt_tokens] and `output` [output_tokens] token ids (int32)."""
        self.request_id = request_id
        self.arrival_time = arrival_time  # s
        self.priority = priority  # a smaller number is served earlier
        self.prompt_tokens = len(prompt)
        self.output_tokens = len(output)
        self.total_tokens = len(prompt) + len(output)
        both = np.concatenate([np.asarray(prompt, "<i4"), np.asarray(output, "<i4")])
        self.token_bytes = both.tobytes()  # a slice of it is a block's content (see `block`)

        self.num_tokens = self.prompt_tokens  # prompt and tokens generated so far
        self.num_computed_tokens = 0  # how many of these are in the KV cache, or scheduled to be
        self.block_table: list[int] = []  # ids of its blocks, in order of its tokens

        self.cached_tokens: int | None = None  # found in the cache at its first admission
        self.preemptions = 0
        self.first_token_time: float | None = None  # s
        self.last_token_time: float | None = None  # s

    @property
    def finished(self) -> bool:
        """True once the last output token has appeared."""
        return self.num_tokens == self.total_tokens

    def block_width(self, block_size: int) -> int:
        """How many of token_bytes hold the tokens of one block: 64 for 16 tokens."""
        return TOKEN_BYTES * block_size

    def block(self, block_size: int, index: int) -> bytes:
        """The tokens of block `index` as bytes: a key for dictionaries, and the input of the block's hash.

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
