"""Which conversations go into a trace, and in which order they start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vllm_lab.common.errors import LabError


@dataclass(frozen=True)
class Selection:
    """`count` conversations (0: all) out of those that have a user turn and begin as `begins_with` says.

    order first: the first ones, in the order of the file. order random: a seeded sample, and they start in
    random order too, because neighbours in the file are often duplicates or splits of one chat; a smaller
    sample is the beginning of a larger one with the same seed.
    """

    count: int
    order: str  # first | random
    begins_with: str  # user | any

    def eligible(self, first_roles: np.ndarray) -> np.ndarray:
        """Indices into `first_roles` (the role of the first message of every conversation that has a user
        turn) of those that begin as they should, in the order of the file."""
        return np.flatnonzero(np.full(len(first_roles), self.begins_with == "any") | (first_roles == "user"))

    def choose(self, first_roles: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Indices as of `eligible`, in the order in which the conversations start. LabError if there are
        none."""
        eligible = self.eligible(first_roles)
        if not len(eligible):
            raise LabError(
                f"none of {len(first_roles)} conversations begins with a user message; use --begins-with any"
            )
        if self.order == "random":
            eligible = rng.permutation(eligible)
        return eligible[: self.count or None]

    def describe(self, first_roles: np.ndarray, chosen: int) -> dict[str, Any]:
        """The rule in words and numbers, for the summary."""
        begins = "begin with a user message" if self.begins_with == "user" else "have a user message"
        which = (
            "in the order of the file" if self.order == "first" else "a seeded random sample, in its order"
        )
        eligible = len(self.eligible(first_roles))
        return {
            "asked": self.count,
            "order": self.order,
            "begins_with": self.begins_with,
            "eligible": eligible,
            "chosen": chosen,
            "statement": f"{chosen} of {eligible} conversations that {begins}, {which}",
        }
