"""Traces by name: how people say them, and in which order they stand."""

from collections.abc import Iterable

OWN = ("single_turn", "multi_turn")


def trace_label(name: str) -> str:
    """ "multi_turn" as people read it: "Multi-turn"; other traces keep their words."""
    if name in OWN:
        return name.replace("_", "-").capitalize()
    return name.replace("_", " ").capitalize()


def ordered(names: Iterable[str]) -> list[str]:
    """Our own traces first, single-turn before multi-turn, then the imported ones by name."""
    return sorted(names, key=lambda name: (OWN.index(name) if name in OWN else len(OWN), name))
