"""How long a step lasts, in virtual time: three plain numbers, or a cost model fitted to real steps."""

import json
from collections.abc import Collection, Iterable, Iterator
from itertools import count, repeat
from pathlib import Path
from typing import NamedTuple

from mini_vllm.errors import MiniError


class Clock(NamedTuple):
    """Seconds that a step lasts: base + per_token × scheduled tokens + per_request × scheduled requests."""

    base: float
    per_token: float
    per_request: float

    def step_seconds(self, new: Collection[int], computed: Iterable[int]) -> float:
        """Seconds of a step. `new`: tokens scheduled for each request; `computed` is not looked at."""
        return self.seconds(StepLoad(sum(new), 0, 0, len(new)))  # prefill or decode: it is all one here

    def seconds(self, load: "StepLoad") -> float:
        """Seconds of a step that works on `load`."""
        tokens = load.prefill_tokens + load.decode_tokens
        return self.base + self.per_token * tokens + self.per_request * load.requests

    def decode_seconds(self, requests: int, computed: int) -> Iterator[float]:
        """Seconds of steps in a row in which each of `requests` computes one token: always the same."""
        return repeat(self.seconds(StepLoad(0, requests, computed, requests)))


class CostModel(NamedTuple):
    """Seconds that a step lasts, by what it works on (see StepLoad); the sum is taken in this order."""

    base: float
    per_prefill_token: float
    per_decode_token: float
    per_context_token: float

    def step_seconds(self, new: Collection[int], computed: Iterable[int]) -> float:
        """Seconds of a step. For each request: its `new` tokens, and the tokens `computed` with them."""
        return self.seconds(StepLoad.of(new, computed))

    def seconds(self, load: "StepLoad") -> float:
        """Seconds of a step that works on `load`."""
        return (
            self.base
            + self.per_prefill_token * load.prefill_tokens
            + self.per_decode_token * load.decode_tokens
            + self.per_context_token * load.context_tokens
        )

    def decode_seconds(self, requests: int, computed: int) -> Iterator[float]:
        """Seconds of steps in a row in which each of `requests` computes one token; `computed` tokens are
        there before the first of them."""
        for context in count(computed + requests, requests):
            yield self.seconds(StepLoad(0, requests, context, requests))


class StepLoad(NamedTuple):
    """What one step works on, told from its requests' token counts alone."""

    prefill_tokens: int  # new tokens of requests with more than one
    decode_tokens: int  # requests with one new token: what vLLM's attention backends call decodes
    context_tokens: int  # tokens looked at: over all new tokens, those up to and with itself
    requests: int

    @classmethod
    def of(cls, new: Collection[int], computed: Iterable[int]) -> "StepLoad":
        """The load of a step, from each request's new tokens and its computed tokens, these included.

        The i-th of n new tokens looks at computed - n + i tokens. Counting a request's context only once a
        step, however many new tokens look at it, predicts real vLLM worse (see vllm_lab.cost_model).
        """
        decodes = sum(tokens == 1 for tokens in new)
        context = sum(n * end - n * (n - 1) // 2 for n, end in zip(new, computed, strict=True))
        return cls(sum(new) - decodes, decodes, context, len(new))


DEFAULT_CLOCK = Clock(0.01, 0.00001, 0.0001)


def parse_clock(text: str) -> Clock:
    """base,per_token,per_request (s). MiniError where it is anything else."""
    try:
        return Clock(*(float(part) for part in text.split(",")))
    except (TypeError, ValueError):
        raise MiniError(f"clock is {text!r}, must be three numbers base,per_token,per_request") from None


def read_cost_model(path: str) -> CostModel:
    """A JSON object with CostModel's four names (s); others are left alone. MiniError names what is wrong."""
    try:
        given = json.loads(Path(path).read_text(encoding="utf-8"))
        return CostModel(*(float(given[name]) for name in CostModel._fields))
    except OSError as error:
        raise MiniError(f"{path}: {error.strerror}") from error
    except KeyError as error:
        raise MiniError(
            f"{path}: {error.args[0]} is missing; needed are {', '.join(CostModel._fields)}"
        ) from None
    except (TypeError, ValueError) as error:
        raise MiniError(f"{path}: not a cost model ({error})") from error
