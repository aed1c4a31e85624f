"""How a prediction names a number: `run.metric`, `run.metric[priority 2]`, or one of these over another."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vllm_lab.common.errors import LabError

_TERM = re.compile(r"(?P<source>\w+)\.(?P<metric>\w+)(\[priority (?P<priority>-?\d+)\])?")


@dataclass(frozen=True)
class Term:
    """One metric of one run or comparison, of all requests or of one priority's."""

    source: str
    metric: str
    priority: int | None = None

    def __str__(self) -> str:
        of = "" if self.priority is None else f"[priority {self.priority}]"
        return f"{self.source}.{self.metric}{of}"


@dataclass(frozen=True)
class Reference:
    """One term, or the quotient of two."""

    terms: tuple[Term, ...]

    @classmethod
    def parse(cls, text: str) -> Reference:
        """LabError where `text` is none."""
        terms = []
        for part in text.split("/"):
            found = _TERM.fullmatch(part.strip())
            if found is None:
                raise LabError(
                    f"{text!r} names no metric: write run.metric, run.metric[priority 2] or one / another"
                )
            priority = found["priority"]
            terms.append(Term(found["source"], found["metric"], None if priority is None else int(priority)))
        if len(terms) > 2:
            raise LabError(f"{text!r}: a quotient has two parts")
        return cls(tuple(terms))

    def __str__(self) -> str:
        return " / ".join(map(str, self.terms))
