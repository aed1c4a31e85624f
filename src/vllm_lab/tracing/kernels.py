"""Names of kernels and operators -> what they do, and which source file of vLLM they come from."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from importlib import resources

import yaml


@dataclass(frozen=True)
class Origin:
    """What the name of a kernel says about it."""

    kernel_class: str  # a key of Table.classes
    source: str  # a file of vLLM's repository, or another project
    seen_in: str  # the file of the installed package that defines or launches it
    text: str  # a text in that file


@dataclass(frozen=True)
class Table:
    """kernels.yaml."""

    version: str  # of vLLM, whose sources were read
    classes: dict[str, str]  # name -> what it is
    modules: dict[str, str]  # kind of module (modules.kind_of) -> class of calls whose names say nothing
    origins: tuple[tuple[re.Pattern[str], Origin], ...]

    def origin(self, name: str) -> Origin | None:
        """The origin of the first pattern that is found in a kernel's name; None where no pattern is."""
        return next((origin for pattern, origin in self.origins if pattern.search(name)), None)


@functools.cache
def table() -> Table:
    """The table; see the head of kernels.yaml for its keys."""
    given = yaml.safe_load(resources.files(__package__).joinpath("kernels.yaml").read_text(encoding="utf-8"))
    return Table(
        given["version"],
        given["classes"],
        given["modules"],
        tuple(
            (
                re.compile(row["kernel"]),
                Origin(row["class"], row["source"], row.get("seen_in", row["source"]), row["text"]),
            )
            for row in given["kernels"]
        ),
    )
