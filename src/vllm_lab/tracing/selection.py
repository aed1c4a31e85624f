"""The calls that a user asks for, by names of modules and by layers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol, TypeVar

from vllm_lab.common.errors import LabError


class Called(Protocol):
    """A module where it is called."""

    class_name: str
    place: str  # dotted
    layer: int | None


Found = TypeVar("Found", bound=Called)


@dataclass(frozen=True)
class Selection:
    """What a list shows. The check against the configuration is always of all calls."""

    modules: tuple[str, ...] = ()  # each a part of a class's name, or a dotted name with * and ?; none: all
    layers: frozenset[int] | None = None  # None: all, and what is in no layer

    def of(self, calls: Iterable[Found]) -> list[Found]:
        """Those of the calls. LabError for a name that none bears and for layers that there are not."""
        calls = list(calls)
        for word in self.modules:
            if not any(bears(call, word) for call in calls):
                classes = ", ".join(sorted({call.class_name for call in calls}))
                raise LabError(
                    f"--modules {word}: no module that was called is named so; there are {classes}"
                )
        found = {call.layer for call in calls} - {None}
        if self.layers is not None and not self.layers & found:
            raise LabError(f"--layers: no such layer; the model's are 0 to {max(found, default=0)}")
        return [
            call
            for call in calls
            if (self.layers is None or call.layer in self.layers)
            and (not self.modules or any(bears(call, word) for word in self.modules))
        ]


ALL = Selection()


def bears(call: Called, word: str) -> bool:
    """Whether a call's class or place is named so."""
    return word in call.class_name or fnmatchcase(call.place, word)


def layers(text: str) -> frozenset[int]:
    """Numbers of layers from a text such as 0-2,5. ValueError if it is none."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        found.update(range(int(first), int(last if dash else first) + 1))
    if not found:
        raise ValueError(text)
    return frozenset(found)
