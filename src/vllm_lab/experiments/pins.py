"""Pins: the hash of an experiment's predictions, written down (and committed) before it is run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vllm_lab.common.errors import LabError
from vllm_lab.common.files import write_text
from vllm_lab.experiments.spec import Experiment

FILE = "pins.txt"  # beside the experiments
_HEAD = "# experiment, sha256 of all but its aha, day. Lines are added, never changed; the last one counts.\n"


@dataclass(frozen=True)
class Pin:
    """One line of the file."""

    experiment: str
    digest: str
    day: str  # ISO date


def read(path: str | os.PathLike) -> list[Pin]:
    """All pins in order; none where there is no file."""
    if not Path(path).is_file():
        return []
    pins = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip() and not line.startswith("#"):
            words = line.split()
            if len(words) != 3:
                raise LabError(f"{path}: line {number}: expected an experiment, a sha256 and a day")
            pins.append(Pin(*words))
    return pins


def add(path: str | os.PathLike, experiment: Experiment, day: str) -> Pin:
    """Append a pin for the experiment as it is now. LabError if it has an aha or is pinned already."""
    pins = read(path)
    if experiment.aha:
        raise LabError(f"{experiment.name}: has an aha already, so it was run; pin predictions before a run")
    if state(pins, experiment) == "pinned":
        raise LabError(f"{experiment.name}: pinned already, and unchanged since")
    pin = Pin(experiment.name, experiment.digest, day)
    lines = [f"{pin.experiment} {pin.digest} {pin.day}\n" for pin in [*pins, pin]]
    write_text(path, _HEAD + "".join(lines))
    return pin


def state(pins: list[Pin], experiment: Experiment) -> str:
    """pinned, changed (since its last pin) or unpinned."""
    own = [pin for pin in pins if pin.experiment == experiment.name]
    if not own:
        return "unpinned"
    return "pinned" if own[-1].digest == experiment.digest else "changed"
