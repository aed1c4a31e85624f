"""How long a step lasts, in virtual time: three plain numbers, or a cost model fitted to real steps."""

import json
from collections.abc import Collection, Iterable, Iterator
from itertools import count, repeat
from pathlib import Path
from typing import NamedTuple

from mini_vllm.errors import MiniError


def is_decode(new: int, computed_before: int, prompt_tokens: int) -> bool:
    """Whether a request decodes in a step: it has exactly one new token, and its prompt is computed already.

    All other requests prefill. With a prompt of 9 tokens in chunks of 8, the second step computes one new
    token (8 computed before, 8 < 9): a prefill. The third computes the first output token (9 >= 9): a decode.
    """
    return new == 1 and computed_before >= prompt_tokens


def kind_of_step(prefills: int, decodes: int) -> str:
    """`prefill`, `decode` or `mixed`, from how many requests (or tokens) of a step prefill and decode."""
    if not prefills:
        return "decode"
    return "mixed" if decodes else "prefill"


class StepLoad(NamedTuple):
    """What one step works on. It follows from three numbers of tokens for each request."""

    prefill_tokens: int  # new tokens of the requests that prefill
    decode_tokens: int  # requests that decode, one new token each
    context_tokens: int  # tokens that attention reads: for each new token, those up to and including it
    requests: int

    @classmethod
    def of(cls, new: Collection[int], computed: Iterable[int], prompts: Iterable[int]) -> "StepLoad":
        """The load of a step, from each request's new tokens, its computed tokens once the step has ended
        (the new ones included), and the tokens of its prompt.

        The i-th of n new tokens reads computed - n + i tokens. With 3 new tokens that end at 10 computed ones
        these are 8 + 9 + 10. Counting a request's context only once in a step, however many new tokens read
        it, predicts real vLLM worse (see vllm_lab.cost_model).
        """
        prefill = decode = context = 0
        for tokens, end, prompt in zip(new, computed, prompts, strict=True):
            if is_decode(tokens, end - tokens, prompt):
                decode += 1
            else:
                prefill += tokens
            context += tokens * end - tokens * (tokens - 1) // 2
        return cls(prefill, decode, context, len(new))


class Clock(NamedTuple):
    """Seconds that a step lasts: base + per_token × scheduled tokens + per_request × scheduled requests."""

    base: float
    per_token: float
    per_request: float

    def step_seconds(self, new: Collection[int], computed: Iterable[int], prompts: Iterable[int]) -> float:
        """As CostModel.step_seconds. Only `new` matters here: prefill and decode cost the same."""
        return self.seconds(StepLoad(sum(new), 0, 0, len(new)))

    def seconds(self, load: StepLoad) -> float:
        """Seconds of a step that works on `load`."""
        tokens = load.prefill_tokens + load.decode_tokens
        return self.base + self.per_token * tokens + self.per_request * load.requests

    def decode_seconds(self, requests: int, computed: int) -> Iterator[float]:
        """As CostModel.decode_seconds, but always the same."""
        return repeat(self.seconds(StepLoad(0, requests, computed, requests)))


class CostModel(NamedTuple):
    """Seconds that a step lasts, by what it works on (see StepLoad); the sum is taken in this order."""

    base: float
    per_prefill_token: float
    per_decode_token: float
    per_context_token: float

    def step_seconds(self, new: Collection[int], computed: Iterable[int], prompts: Iterable[int]) -> float:
        """Seconds of a step, from three numbers of tokens for each request (see StepLoad.of)."""
        return self.seconds(StepLoad.of(new, computed, prompts))

    def seconds(self, load: StepLoad) -> float:
        """Seconds of a step that works on `load`."""
        return (
            self.base
            + self.per_prefill_token * load.prefill_tokens
            + self.per_decode_token * load.decode_tokens
            + self.per_context_token * load.context_tokens
        )

    def decode_seconds(self, requests: int, computed: int) -> Iterator[float]:
        """Seconds of steps in a row in which each of `requests` decodes, from `computed` tokens on."""
        for context in count(computed + requests, requests):
            yield self.seconds(StepLoad(0, requests, context, requests))


DEFAULT_CLOCK = Clock(0.01, 0.00001, 0.0001)


def parse_clock(text: str) -> Clock:
    """base,per_token,per_request (s). MiniError where it is anything else."""
    try:
        return Clock(*(float(part) for part in text.split(",")))
    except (TypeError, ValueError):
        raise MiniError(f"clock is {text!r}, must be three numbers base,per_token,per_request") from None


def read_cost_model(path: str) -> CostModel:
    """A JSON object with CostModel's four names (s); others are left alone. MiniError names what is wrong."""
    names = CostModel._fields
    try:
        given = json.loads(Path(path).read_text(encoding="utf-8"))
        return CostModel(*(float(given[name]) for name in names))
    except OSError as error:
        raise MiniError(f"{path}: {error.strerror}") from error
    except KeyError as error:
        raise MiniError(f"{path}: {error.args[0]} is missing; needed are {', '.join(names)}") from None
    except (TypeError, ValueError) as error:
        raise MiniError(f"{path}: not a cost model ({error})") from error
