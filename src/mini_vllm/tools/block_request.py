"""A request of a trace that gives prompts as block ids, such as Mooncake's, instead of token ids."""

from collections.abc import Sequence

from mini_vllm.errors import MiniError
from mini_vllm.request import TOKEN_BYTES, Request


class BlockRequest(Request):
    """A request whose prompt is known by the ids of its blocks, `block_tokens` tokens each.

    An id stands for that many equal tokens, so two prompts share a block if and only if their ids are equal
    from the start. The partial last block of the prompt and all blocks of the output belong to this request
    alone: they have `own_id`, which no other request has. With blocks of 512 tokens, a prompt of 1,200 tokens
    with the ids 7, 8, 9 and an output of 100 tokens has the blocks 7, 8, own_id.
    """

    __slots__ = ("block_tokens",)

    def __init__(
        self,
        request_id: str,
        arrival_time: float,
        priority: int,
        prompt_tokens: int,
        output_tokens: int,
        block_ids: Sequence[int],
        block_tokens: int,
        own_id: int,
    ) -> None:
        """`block_ids`: at least the prompt's full blocks."""
        full = prompt_tokens // block_tokens
        own = -(-(prompt_tokens + output_tokens) // block_tokens) - full
        super().__init__(request_id, arrival_time, priority, block_ids[:full], [own_id] * own)
        self.block_tokens = block_tokens
        self.prompt_tokens = self.num_tokens = prompt_tokens
        self.output_tokens = output_tokens
        self.total_tokens = prompt_tokens + output_tokens

    def check(self, block_size: int) -> None:
        """MiniError if `block_size` is not the trace's."""
        if block_size != self.block_tokens:
            raise MiniError(
                f"block_size is {block_size}, must be {self.block_tokens}: the trace gives prompts as ids of "
                f"blocks of {self.block_tokens} tokens"
            )

    def block_width(self, block_size: int) -> int:
        """How many of token_bytes hold the content of one block: those of one id."""
        return TOKEN_BYTES
