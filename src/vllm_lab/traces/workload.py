"""From token streams to a trace: selection, arrivals, priorities, and the model's context."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vllm_lab.common.errors import LabError
from vllm_lab.common.files import read_json
from vllm_lab.traces.arrivals import Arrivals
from vllm_lab.traces.requests import Requests
from vllm_lab.traces.selection import Selection
from vllm_lab.traces.stream_table import StreamTable
from vllm_lab.traces.summary import summarise
from vllm_lab.traces.trace import Trace


@dataclass(frozen=True)
class Workload:
    """Everything that decides a trace, given the streams. Same streams and workload, same trace.

    Selection, arrivals, think times and priorities draw from generators of their own, children of `seed`: a
    change of one leaves the others as they were. mode single_turn: the first user turn of a conversation;
    multi_turn: every user turn. With the same seed, both modes have the same conversations and starts.
    """

    mode: str  # single_turn | multi_turn
    selection: Selection
    arrivals: Arrivals
    priorities: tuple[tuple[int, float], ...]  # (priority, share of conversations); shares sum to 1
    context: int  # tokens: the model's max_position_embeddings
    over_context: str  # drop | keep
    seed: int

    def build(self, streams: StreamTable) -> tuple[Trace, dict[str, Any]]:
        """The trace and its summary."""
        children = np.random.SeedSequence(self.seed).spawn(4)
        choosing, starting, thinking, ranking = (
            np.random.Generator(np.random.PCG64(child)) for child in children
        )
        chosen = self.selection.choose(streams.first_role, choosing)
        starts = self.arrivals.starts(len(chosen), starting)
        turns = np.diff(streams.turn_offsets)[chosen]
        if self.mode == "single_turn":
            turns = np.ones_like(turns)
        rows = np.concatenate(
            [
                np.arange(first, first + count)
                for first, count in zip(streams.turn_offsets[chosen], turns, strict=True)
            ]
        )
        conversation = np.repeat(chosen, turns)
        requests = Requests(
            conversation=conversation,
            turn=rows - streams.turn_offsets[conversation] + 1,
            arrival_time=self.arrivals.times(starts, turns, thinking),
            priority=np.repeat(self._draw_priorities(len(chosen), ranking), turns),
            prompt_tokens=streams.prompt_tokens[rows],
            output_tokens=streams.output_tokens[rows],
            answered=streams.answered[rows],
            stream=streams.stream[rows],
        )
        requests, over_context = self._fit(requests, streams)
        trace = requests.in_order().trace(streams, {"mode": self.mode, "unit": "token", "seed": self.seed})
        summary = summarise(trace) | {
            "selection": self.selection.describe(streams.first_role, len(chosen)),
            "seed": self.seed,
            "rate": self.arrivals.rate,
            "measured_rate": len(chosen) / float(starts[-1]),
            "think_time": {
                "seconds": self.arrivals.think_time,
                "distribution": self.arrivals.think_distribution,
            },
            "priorities": {str(priority): share for priority, share in self.priorities},
            "over_context": over_context,
            "unanswered": int(np.count_nonzero(~requests.answered)),
        }
        return trace, summary

    def _draw_priorities(self, conversations: int, rng: np.random.Generator) -> np.ndarray:
        values, shares = zip(*self.priorities, strict=True)
        return rng.choice(np.array(values, dtype=np.int32), conversations, p=np.array(shares))

    def _fit(self, requests: Requests, streams: StreamTable) -> tuple[Requests, dict[str, Any]]:
        """Apply the over-context rule: a prompt that leaves no room for one output token is dropped, an
        output that would pass the context is cut to fit; or both are kept as they are. Counted either way."""
        too_long = requests.prompt_tokens.astype(np.int64) + 1 > self.context
        total = requests.prompt_tokens.astype(np.int64) + requests.output_tokens
        passing = ~too_long & (total > self.context)
        example = None
        if too_long.any():
            row = int(np.argmax(too_long))
            example = {
                "request_id": requests.name(row, streams),
                "prompt_tokens": int(requests.prompt_tokens[row]),
            }
        report = {
            "limit": self.context,
            "policy": self.over_context,
            "requests": int(too_long.sum()),
            "outputs": int(passing.sum()),
            "example": example,
        }
        if self.over_context == "keep":
            return requests, report
        if too_long.all():
            raise LabError(f"every prompt is longer than the model's context of {self.context} tokens")
        room = np.minimum(requests.output_tokens, self.context - requests.prompt_tokens)
        return replace(requests, output_tokens=room).take(~too_long), report


def context_length(model_config: Path) -> int:
    """Tokens of context, from a model's config.json. LabError if it does not say."""
    length = read_json(model_config).get("max_position_embeddings")
    if type(length) is not int or length < 2:
        raise LabError(
            f"{model_config}: max_position_embeddings is {length!r}, must be the context length in tokens"
        )
    return length
