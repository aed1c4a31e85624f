"""From token streams to a trace: selection, arrivals, priorities, and the context of the model."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from vllm_lab.common.errors import LabError
from vllm_lab.common.files import read_json
from vllm_lab.traces import trace_file
from vllm_lab.traces.streams import SCHEMA
from vllm_lab.traces.trace import Trace

LISTS = ("turns", "prompt_tokens", "output_tokens", "answered")  # the columns with a value for each turn


@dataclass(frozen=True)
class Selection:
    """`count` conversations (0: all) of those that have a user turn and begin as `begins_with` says.

    order "first": the first ones, in the order of the file. order "random": a seeded sample in random order,
    because neighbours in the file are often duplicates or parts of one chat. A smaller sample is the
    beginning of a larger one with the same seed.
    """

    count: int
    order: str  # first | random
    begins_with: str  # user | any

    def eligible(self, first_roles: np.ndarray) -> np.ndarray:
        """Indices of the conversations that begin as `begins_with` says, in the order of the file.

        first_roles: the role of the first message of every conversation with a user turn.
        """
        return np.flatnonzero(np.full(len(first_roles), self.begins_with == "any") | (first_roles == "user"))

    def choose(self, first_roles: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Indices as of `eligible`, in the order in which the conversations start. LabError without any."""
        eligible = self.eligible(first_roles)
        if not len(eligible):
            raise LabError(
                f"no conversation of {len(first_roles)} begins with a user message; use --begins-with any"
            )
        if self.order == "random":
            eligible = rng.permutation(eligible)
        return eligible[: self.count or None]

    def describe(self, first_roles: np.ndarray, chosen: int) -> dict[str, Any]:
        """The selection in words and numbers, for the summary."""
        begins = {"user": "begin with a user message", "any": "have a user message"}[self.begins_with]
        ways = {"first": "in the order of the file", "random": "a seeded random sample, in its order"}
        eligible = len(self.eligible(first_roles))
        return {
            "asked": self.count,
            "order": self.order,
            "begins_with": self.begins_with,
            "eligible": eligible,
            "chosen": chosen,
            "statement": f"{chosen} of {eligible} conversations that {begins}, {ways[self.order]}",
        }


@dataclass(frozen=True)
class Arrivals:
    """`rate` conversations per second on average; `think_time` seconds between the turns of a conversation.

    Conversations start as a Poisson process: the gaps between starts are independent exponential draws of
    mean 1 / rate. They are not rescaled to a fixed end, so the measured rate of a finite trace differs from
    `rate` by chance.
    """

    rate: float
    think_time: float
    think_distribution: str  # fixed | exponential (of mean think_time)

    def starts(self, conversations: int, rng: np.random.Generator) -> np.ndarray:
        """float64 [conversations]: start times in seconds, ascending; the first after one gap."""
        return np.cumsum(rng.exponential(1.0 / self.rate, conversations))

    def times(self, starts: np.ndarray, turns: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """float64 [turns.sum()]: arrival of every turn of every conversation, conversation by conversation.

        `turns` [conversations] counts turns, at least one each. Turn 1 arrives at the start of its
        conversation, and turn k arrives one think time after turn k - 1. Arrivals do not wait for answers (an
        open loop).
        """
        total = int(turns.sum())
        if self.think_distribution == "exponential":
            thinking = rng.exponential(self.think_time, total)
        else:
            thinking = np.full(total, self.think_time)
        first = np.concatenate([[0], np.cumsum(turns)[:-1]]).astype(np.int64)
        thinking[first] = 0.0
        gaps = np.split(thinking, first[1:])
        return np.concatenate([start + np.cumsum(gap) for start, gap in zip(starts, gaps, strict=True)])


@dataclass(frozen=True)
class StreamTable:
    """C conversations with a user turn, T turns ordered by conversation and turn, S streams in file order."""

    conversation_id: list[str]  # [C]
    first_role: np.ndarray  # str [C]
    turn_offsets: np.ndarray  # int64 [C + 1]: conversation c has turns turn_offsets[c]:turn_offsets[c + 1]
    prompt_tokens: np.ndarray  # int32 [T]
    output_tokens: np.ndarray  # int32 [T]
    answered: np.ndarray  # bool [T]
    stream: np.ndarray  # int64 [T]
    token_ids: np.ndarray  # int32 [all tokens]
    token_offsets: np.ndarray  # int64 [S + 1]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read streams.parquet. LabError naming the file and what is wrong."""
        table = trace_file.open_parquet(path, "traces_tokens").read()
        if not table.schema.equals(SCHEMA):
            raise LabError(
                f"{path}: columns are {', '.join(table.column_names)}, must be {', '.join(SCHEMA.names)} of "
                "the documented types; run the rule traces_tokens again"
            )
        conversation = table["conversation"].to_numpy()
        columns = {name: table[name].combine_chunks() for name in (*LISTS, "token_ids")}
        flat = {name: lists.flatten().to_numpy(zero_copy_only=False) for name, lists in columns.items()}
        lengths = {name: lists.value_lengths().to_numpy().astype(np.int64) for name, lists in columns.items()}
        number = flat["turns"]
        stream = np.repeat(np.arange(len(table)), lengths["turns"])
        order = np.lexsort((number, conversation[stream]))
        names, first_rows, of_stream = np.unique(conversation, return_index=True, return_inverse=True)
        counts = np.bincount(of_stream[stream], minlength=len(names))
        offsets = np.concatenate([[0], np.cumsum(counts)])
        expected = np.arange(len(order)) - np.repeat(offsets[:-1], counts) + 1
        if not np.array_equal(number[order], expected):
            wrong = int(names[of_stream[stream[order]][np.argmin(number[order] == expected)]])
            raise LabError(
                f"{path}: conversation {wrong}: user turns are not numbered 1, 2, …; run the rule "
                "traces_tokens again"
            )
        first = table.select(["conversation_id", "first_role"]).take(first_rows)
        return cls(
            conversation_id=first["conversation_id"].to_pylist(),
            first_role=np.array(first["first_role"].to_pylist()),
            turn_offsets=offsets,
            prompt_tokens=flat["prompt_tokens"][order],
            output_tokens=flat["output_tokens"][order],
            answered=flat["answered"][order],
            stream=stream[order],
            token_ids=flat["token_ids"],
            token_offsets=np.concatenate([[0], np.cumsum(lengths["token_ids"])]),
        )


@dataclass(frozen=True)
class Requests:
    """R requests; conversation and stream are numbers in the StreamTable that they come from."""

    conversation: np.ndarray  # int64 [R]
    turn: np.ndarray  # int64 [R]
    arrival_time: np.ndarray  # float64 [R], seconds
    priority: np.ndarray  # int32 [R]
    prompt_tokens: np.ndarray  # int32 [R]
    output_tokens: np.ndarray  # int32 [R]
    answered: np.ndarray  # bool [R]
    stream: np.ndarray  # int64 [R]

    def take(self, rows: np.ndarray) -> Self:
        """The requests at `rows` (indices or mask)."""
        return type(self)(**{column.name: getattr(self, column.name)[rows] for column in fields(self)})

    def in_order(self) -> Self:
        """Sorted by arrival, then conversation (order of the file), then turn."""
        return self.take(np.lexsort((self.turn, self.conversation, self.arrival_time)))

    def name(self, row: int, streams: StreamTable) -> str:
        """request_id of `row`."""
        return f"{streams.conversation_id[self.conversation[row]]}-t{self.turn[row]}"

    def trace(self, streams: StreamTable, metadata: dict[str, Any]) -> Trace:
        """The trace of these requests in this order; its streams end with the last token that a request
        needs."""
        used, first_rows, number = np.unique(self.stream, return_index=True, return_inverse=True)
        by_first_use = np.argsort(first_rows)
        rank = np.empty_like(by_first_use)
        rank[by_first_use] = np.arange(len(used))
        needed = np.zeros(len(used), dtype=np.int64)
        np.maximum.at(needed, number, self.prompt_tokens.astype(np.int64) + self.output_tokens)
        starts = streams.token_offsets[used]
        tokens = [streams.token_ids[starts[one] : starts[one] + needed[one]] for one in by_first_use]
        return Trace(
            request_id=[self.name(row, streams) for row in range(len(self.turn))],
            conversation_id=[streams.conversation_id[index] for index in self.conversation],
            turn=self.turn,
            arrival_time=self.arrival_time,
            priority=self.priority,
            prompt_tokens=self.prompt_tokens,
            output_tokens=self.output_tokens,
            stream=rank[number],
            stream_ids=np.concatenate(tokens),
            stream_offsets=np.concatenate([[0], np.cumsum(needed[by_first_use])]),
            metadata=metadata,
        )


@dataclass(frozen=True)
class Workload:
    """Everything that determines a trace of given streams.

    Selection, arrivals, think times and priorities draw from separate generators, which are children of
    `seed`; a change of one leaves the others unchanged. The mode single_turn takes the first user turn of a
    conversation, multi_turn every user turn. With the same seed, both modes have the same conversations and
    starts.
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
        seeds = np.random.SeedSequence(self.seed).spawn(4)
        choosing, starting, thinking, ranking = (np.random.default_rng(seed) for seed in seeds)
        chosen = self.selection.choose(streams.first_role, choosing)
        starts = self.arrivals.starts(len(chosen), starting)
        turns = np.diff(streams.turn_offsets)[chosen]
        if self.mode == "single_turn":
            turns = np.ones_like(turns)
        turn = np.arange(turns.sum()) - np.repeat(np.cumsum(turns) - turns, turns) + 1
        rows = np.repeat(streams.turn_offsets[chosen], turns) + turn - 1
        priorities, shares = zip(*self.priorities, strict=True)
        drawn = ranking.choice(np.array(priorities, dtype=np.int32), len(chosen), p=np.array(shares))
        requests = Requests(
            conversation=np.repeat(chosen, turns),
            turn=turn,
            arrival_time=self.arrivals.times(starts, turns, thinking),
            priority=np.repeat(drawn, turns),
            prompt_tokens=streams.prompt_tokens[rows],
            output_tokens=streams.output_tokens[rows],
            answered=streams.answered[rows],
            stream=streams.stream[rows],
        )
        requests, over_context = self._fit(requests, streams)
        trace = requests.in_order().trace(streams, {"mode": self.mode, "unit": "token", "seed": self.seed})
        thinks = {"seconds": self.arrivals.think_time, "distribution": self.arrivals.think_distribution}
        summary = trace.summary() | {
            "selection": self.selection.describe(streams.first_role, len(chosen)),
            "seed": self.seed,
            "rate": self.arrivals.rate,
            "measured_rate": len(chosen) / float(starts[-1]),
            "think_time": thinks,
            "priorities": {str(priority): share for priority, share in self.priorities},
            "over_context": over_context,
            "unanswered": int(np.count_nonzero(~requests.answered)),
        }
        return trace, summary

    def _fit(self, requests: Requests, streams: StreamTable) -> tuple[Requests, dict[str, Any]]:
        """Apply the over-context rule and count the requests that it concerns.

        drop: a prompt that leaves no room for one output token is dropped, and an output that would exceed
        the context is cut to fit. keep: both stay as they are.
        """
        too_long = requests.prompt_tokens.astype(np.int64) + 1 > self.context
        total = requests.prompt_tokens.astype(np.int64) + requests.output_tokens
        passing = ~too_long & (total > self.context)
        examples = [
            {"request_id": requests.name(row, streams), "prompt_tokens": int(requests.prompt_tokens[row])}
            for row in np.flatnonzero(too_long)[:1]
        ]
        report = {
            "limit": self.context,
            "policy": self.over_context,
            "requests": int(too_long.sum()),
            "outputs": int(passing.sum()),
            "example": examples[0] if examples else None,
        }
        if self.over_context == "keep":
            return requests, report
        if too_long.all():
            raise LabError(f"every prompt is longer than the model's context of {self.context} tokens")
        room = np.minimum(requests.output_tokens, self.context - requests.prompt_tokens)
        return replace(requests, output_tokens=room).take(~too_long), report


def context_length(model_config: Path) -> int:
    """The context length in tokens, from the config.json of a model. LabError if it is missing."""
    length = read_json(model_config).get("max_position_embeddings")
    if type(length) is not int or length < 2:
        raise LabError(
            f"{model_config}: max_position_embeddings is {length!r}, must be the context length in tokens"
        )
    return length
