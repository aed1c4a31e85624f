"""When requests arrive: a Poisson process of conversations, then think times within each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Arrivals:
    """`rate` conversations a second on average; `think_time` seconds between a conversation's turns.

    Poisson means Poisson: gaps between starts are independent exponential draws of mean 1 / rate, not
    rescaled to any end, so the measured rate of a finite trace differs from `rate` as chance has it.
    """

    rate: float
    think_time: float
    think_distribution: str  # fixed | exponential (of mean think_time)

    def starts(self, conversations: int, rng: np.random.Generator) -> np.ndarray:
        """float64 [conversations]: start times in seconds, ascending; the first after one gap."""
        return np.cumsum(rng.exponential(1.0 / self.rate, conversations))

    def times(self, starts: np.ndarray, turns: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """float64 [turns.sum()]: arrival of every turn of every conversation, conversation by conversation.

        `turns` [conversations] counts turns, at least one each. Turn 1 arrives at its conversation's start
        and turn k one think time after turn k - 1 arrived (arrivals do not wait for answers: an open loop).
        """
        total = int(turns.sum())
        if self.think_distribution == "exponential":
            thinking = rng.exponential(self.think_time, total)
        else:
            thinking = np.full(total, self.think_time)
        first = np.concatenate([[0], np.cumsum(turns)[:-1]]).astype(np.int64)
        thinking[first] = 0.0
        return np.concatenate(
            [
                start + np.cumsum(gaps)
                for start, gaps in zip(starts, np.split(thinking, first[1:]), strict=True)
            ]
        )
