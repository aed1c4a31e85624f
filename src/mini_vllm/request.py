"""One request: what the trace says of it, and how far it has come. Mirrors vllm/v1/request.py::Request."""

from collections.abc import Sequence

import numpy as np

TOKEN_BYTES = 4  # int32, little-endian


class Request:
    """The trace's row and the scheduler's counters. Compared and hashed by identity, so dicts are quick.

    The whole of prompt and output is known from the start (the trace has it), but the scheduler only looks
    at the first `num_tokens` of it: the prompt and what has been "generated" so far.
    """

    __slots__ = (
        "arrival_time",
        "block_table",
        "cached_tokens",
        "first_token_time",
        "last_node",
        "last_token_time",
        "num_cached_blocks",
        "num_computed_tokens",
        "num_slots",
        "num_tokens",
        "output_tokens",
        "preemptions",
        "priority",
        "prompt_tokens",
        "request_id",
        "token_bytes",
        "tokens_per_id",
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
        """A request of `prompt` and `output` token ids (int32)."""
        self.request_id = request_id
        self.arrival_time = arrival_time  # s
        self.priority = priority  # smaller is served earlier
        self.prompt_tokens = len(prompt)
        self.output_tokens = len(output)
        self.total_tokens = len(prompt) + len(output)
        # Tokens as bytes: a slice is the dictionary key of a block and the very input of its sha256.
        self.tokens_per_id = 1
        both = np.concatenate([np.asarray(prompt, "<i4"), np.asarray(output, "<i4")])
        self.token_bytes = both.tobytes()

        self.num_tokens = self.prompt_tokens  # prompt and tokens generated so far
        self.num_computed_tokens = 0  # of these, how many are in the KV cache (or scheduled to be)
        self.block_table: list[int] = []  # ids of its blocks, in order of its tokens
        self.num_slots = 0  # tokens that block_table has room for
        self.num_cached_blocks = 0  # v4: leading blocks of block_table that the prefix cache knows
        self.last_node = None  # v4: the trie's node of the last of these

        self.cached_tokens: int | None = None  # found in the cache at its first admission
        self.preemptions = 0
        self.first_token_time: float | None = None  # s
        self.last_token_time: float | None = None  # s

    @classmethod
    def of_blocks(
        cls,
        request_id: str,
        arrival_time: float,
        priority: int,
        prompt_tokens: int,
        output_tokens: int,
        block_ids: Sequence[int],
        block_tokens: int,
        own_id: int,
    ) -> "Request":
        """A request of a trace that tells prompts by the ids of their blocks, `block_tokens` tokens each.

        An id stands for that many equal tokens, so two prompts share a block if and only if their ids are
        equal from the start. The prompt's partial last block and the output are the request's own: `own_id`,
        which no other request has.
        """
        full = prompt_tokens // block_tokens
        own = -(-(prompt_tokens + output_tokens) // block_tokens) - full
        request = cls(request_id, arrival_time, priority, block_ids[:full], [own_id] * own)
        request.tokens_per_id = block_tokens
        request.prompt_tokens = request.num_tokens = prompt_tokens
        request.output_tokens = output_tokens
        request.total_tokens = prompt_tokens + output_tokens
        return request

    @property
    def finished(self) -> bool:
        """True once the last output token has appeared."""
        return self.num_tokens == self.total_tokens

    def block_width(self, block_size: int) -> int:
        """How many of token_bytes tell the content of one block."""
        return TOKEN_BYTES * block_size // self.tokens_per_id

    def block_tokens(self, index: int, block_size: int) -> bytes:
        """What block `index` holds: int32 little-endian ids, each of tokens_per_id of its tokens."""
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
