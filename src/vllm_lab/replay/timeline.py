"""A replay over its virtual time: requests running and waiting, blocks in use, tokens found in the cache."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vllm_lab.replay.records import StoredRun


@dataclass(frozen=True, eq=False)
class Timeline:
    """One value for each of S steps. Between a step's end and the next one's start the engine was idle."""

    start: np.ndarray  # float64 [S], s, ascending
    end: np.ndarray  # float64 [S], s
    running: np.ndarray  # int64 [S], requests scheduled in the step
    waiting: np.ndarray  # int64 [S], requests in the engine (arrived, not finished) and not scheduled in it
    used_blocks: np.ndarray  # int64 [S], not free at its end

    @classmethod
    def of(cls, run: StoredRun) -> Timeline:
        """From the replay's steps and requests.

        A step that finishes a request ends when that got its last token; any other ends where the next one
        starts, since an engine with an unfinished request is not idle. v1's last step ends at the crash.
        """
        refused = {refusal.request_id for refusal in run.refused}
        outcomes = {got.request_id: got for got in run.requests if got.request_id not in refused}
        usable = run.record["limits"]["num_blocks"] - 1
        start, end, running, finished, used = [], [], [], [], []
        for step in run.steps:
            if start:
                end[-1] = step.time if end[-1] is None else min(end[-1], step.time)
            start.append(step.time)
            last = outcomes[step.finished[0]] if step.finished else None
            end.append(last and last.arrival + last.e2e)
            running.append(len(step.scheduled))
            finished.append(len(step.finished))
            used.append(usable - step.free_blocks)
        if start and end[-1] is None:
            end[-1] = run.record["crash"]["time"]
        starts = np.array(start, dtype=np.float64)
        arrivals = np.sort(np.array([got.arrival for got in outcomes.values()], dtype=np.float64))
        arrived = np.searchsorted(arrivals, starts, side="right")
        gone = np.cumsum(finished, dtype=np.int64) - np.array(finished, dtype=np.int64)
        scheduled = np.array(running, dtype=np.int64)
        return cls(
            starts,
            np.array(end, dtype=np.float64),
            scheduled,
            arrived - gone - scheduled,
            np.array(used, dtype=np.int64),
        )

    def mean(self, values: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
        """(middles, means) over windows of `width` s from time 0 to the end, weighted by time; 0 while idle.

        values: [S]. The last window is cut off at the end. Both answers: float64 [ceil(end / width)].
        """
        if not len(self.start):
            return np.empty(0), np.empty(0)
        windows = max(1, math.ceil(self.end[-1] / width - 1e-9))  # no sliver where they fit but for rounding
        edges = np.append(np.arange(windows) * width, self.end[-1])
        area = np.cumsum(values * (self.end - self.start))
        knots = np.column_stack([self.start, self.end]).ravel()
        areas = np.column_stack([np.append(0, area[:-1]), area]).ravel()
        means = np.diff(np.interp(edges, knots, areas)) / np.diff(edges)
        return (edges[:-1] + edges[1:]) / 2, means


@dataclass(frozen=True, eq=False)
class HitRates:
    """Token hit rate by arrival: of the prompt tokens of A admitted requests, those found in the cache."""

    arrival: np.ndarray  # float64 [A], s, ascending
    prompt_tokens: np.ndarray  # int64 [A]
    cached_tokens: np.ndarray  # int64 [A], at first admission

    @classmethod
    def of(cls, run: StoredRun, prompt_tokens: dict[str, int]) -> HitRates:
        """prompt_tokens: request id -> length of its prompt, which the replay's files do not repeat."""
        rows = [
            (got.arrival, prompt_tokens[got.request_id], got.cached_tokens)
            for got in run.requests
            if got.cached_tokens is not None
        ]
        arrival, prompt, cached = zip(*rows, strict=True) if rows else ((), (), ())
        return cls(
            np.array(arrival, dtype=np.float64), np.array(prompt, np.int64), np.array(cached, np.int64)
        )

    def cumulative(self) -> np.ndarray:
        """float64 [A]: the hit rate of all requests that had arrived with each one."""
        return np.cumsum(self.cached_tokens) / np.cumsum(self.prompt_tokens)

    def windowed(self, width: float) -> tuple[np.ndarray, np.ndarray]:
        """(middles, rates) of the windows of `width` s in which a request arrived."""
        window = np.floor_divide(self.arrival, width).astype(np.int64)
        which, place = np.unique(window, return_inverse=True)
        prompt = np.bincount(place, self.prompt_tokens, len(which))
        cached = np.bincount(place, self.cached_tokens, len(which))
        return (which + 0.5) * width, cached / prompt
