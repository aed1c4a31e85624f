"""An experiment: what its YAML file says of runs and predictions, and the pins of its predictions.

A pin is the hash of an experiment's predictions, written to pins.txt (and committed) before the run.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import yaml

from mini_vllm.tools.versions import VERSIONS
from vllm_lab.common.errors import LabError
from vllm_lab.common.files import canonical_json, write_text
from vllm_lab.common.metric import Metric
from vllm_lab.common.schema import check
from vllm_lab.nsight.metrics import METRICS as CAPTURE_METRICS
from vllm_lab.replay.metrics import COMPARISON_METRICS, METRICS, REQUEST_METRICS
from vllm_lab.replay.records import REAL, SCHEDULER

SCHEMA = Path(__file__).parents[3] / "workflow/schemas/experiment.schema.yaml"
PARTS = ("mini", "vllm", "extension")  # the fourth part of every experiment is the comparison
PINS_FILE = "pins.txt"  # beside the experiments
PINS_HEAD = (
    "# experiment, sha256 of all but its aha, day. Lines are added, never changed; the last one counts.\n"
)
_TERM = re.compile(r"(?P<source>\w+)\.(?P<metric>\w+)(\[priority (?P<priority>-?\d+)\])?")


@dataclass(frozen=True)
class Term:
    """One metric of one run or comparison, of all requests or of one priority's."""

    source: str
    metric: str
    priority: str | None = None

    def __str__(self) -> str:
        of = "" if self.priority is None else f"[priority {self.priority}]"
        return f"{self.source}.{self.metric}{of}"


@dataclass(frozen=True)
class Reference:
    """One term, or the quotient of two."""

    terms: tuple[Term, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """LabError where `text` is none."""
        found = [_TERM.fullmatch(part.strip()) for part in text.split("/")]
        if not all(found):
            raise LabError(
                f"{text!r} names no metric: write run.metric, run.metric[priority 2] or one / another"
            )
        if len(found) > 2:
            raise LabError(f"{text!r}: a quotient has two parts")
        return cls(tuple(Term(**term.groupdict()) for term in found))

    def __str__(self) -> str:
        return " / ".join(map(str, self.terms))


@dataclass(frozen=True)
class Run:
    """One run: `settings` are the experiment's, overruled by the run's own."""

    part: str  # of PARTS
    engine: str  # of vllm_lab.replay.comparison.ENGINES
    settings: Mapping[str, Any]

    @property
    def is_real(self) -> bool:
        """Whether a model runs, in real time."""
        return self.engine == REAL

    @property
    def is_captured(self) -> bool:
        """Whether Nsight Systems captures the run."""
        return "profiler" in self.settings

    @property
    def rule(self) -> str:
        """The rule that makes the run."""
        if self.is_captured:
            return "nsight_vllm" if self.is_real else "nsight_mini"
        makers = {REAL: "experiments_real", SCHEDULER: "experiments_oracle"}
        return makers.get(self.engine, "experiments_mini")

    @property
    def flags(self) -> list[str]:
        """The run as flags of its rule's script."""
        words = ["--engine", self.engine] if self.engine in VERSIONS else []
        for name, value in self.settings.items():
            flag = "limit" if name == "requests" else name.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{flag}" if value else f"--no-{flag}")
            elif name != "profiler":
                words += [f"--{flag}", str(value)]
        return words


@dataclass(frozen=True)
class Prediction:
    """The expectation that `metric` has `relation` to `times` × `value`, a number or another metric."""

    id: str
    statement: str
    why: str
    metric: Reference
    relation: str  # equal, at most, at least, less than, more than or within
    value: float | Reference
    times: float
    tolerance: float  # for "within": |metric - value| <= tolerance × |value|

    @property
    def references(self) -> list[Reference]:
        """The metric and, where the value is a metric too, the value."""
        return [part for part in (self.metric, self.value) if isinstance(part, Reference)]


@dataclass(frozen=True)
class Experiment:
    """One file of experiments/."""

    name: str
    title: str
    question: str
    trace: str
    runs: Mapping[str, Run]
    comparisons: Mapping[str, Mapping[str, str]]  # each has a run as "mini" and one as "vllm"
    predictions: tuple[Prediction, ...]
    aha: str  # empty before the run
    digest: str  # sha256 of everything but the aha

    @classmethod
    def read(cls, path: Path) -> Self:
        """LabError names the file and the key where something is missing, unknown or refers to nothing."""
        try:
            given = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise LabError(f"{path}: {error.strerror}") from error
        except yaml.YAMLError as error:
            raise LabError(f"{path}: not valid YAML ({error})") from error
        check(given, SCHEMA, str(path))
        _check_names(given, path)
        experiment = cls(
            name=path.stem,
            title=given["title"],
            question=given["question"].strip(),
            trace=given["trace"],
            runs=_runs(given),
            comparisons=given.get("comparisons", {}),
            predictions=tuple(_prediction(entry, path) for entry in given["predictions"]),
            aha=given.get("aha", "").strip(),
            digest=_digest(given),
        )
        _check_references(experiment, path)
        return experiment


def _digest(given: Mapping[str, Any]) -> str:
    """sha256 of everything but `aha`. Every change of a prediction or of a run's settings changes it."""
    pinned = {key: value for key, value in given.items() if key != "aha"}
    return hashlib.sha256(canonical_json(pinned).encode()).hexdigest()


class Pin(NamedTuple):
    """One line of the file of pins."""

    experiment: str
    digest: str
    day: str  # ISO date


def read_pins(path: Path) -> list[Pin]:
    """All pins in order; an empty list where there is no file. LabError for a line that is no pin."""
    pins = []
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if len(words) != len(Pin._fields):
            raise LabError(f"{path}: line {number}: expected an experiment, a sha256 and a day")
        pins.append(Pin(*words))
    return pins


def add_pin(path: Path, experiment: Experiment, day: str) -> None:
    """Append a pin for the experiment as it is now. LabError if it has an aha or is pinned already."""
    pins = read_pins(path)
    if experiment.aha:
        raise LabError(f"{experiment.name}: has an aha already, so it was run; pin predictions before a run")
    if pin_state(pins, experiment) == "pinned":
        raise LabError(f"{experiment.name}: pinned already, and unchanged since")
    pin = Pin(experiment.name, experiment.digest, day)
    write_text(path, PINS_HEAD + "".join(f"{' '.join(line)}\n" for line in [*pins, pin]))


def pin_state(pins: Sequence[Pin], experiment: Experiment) -> str:
    """pinned, changed (since its last pin) or unpinned."""
    last = next((pin for pin in reversed(pins) if pin.experiment == experiment.name), None)
    if last is None:
        return "unpinned"
    return "pinned" if last.digest == experiment.digest else "changed"


def _runs(given: Mapping[str, Any]) -> dict[str, Run]:
    runs = {}
    for part in PARTS:
        for name, own in given["runs"].get(part, {}).items():
            settings = {**given.get("settings", {}), **own}
            runs[name] = Run(part, settings.pop("engine"), settings)
    return runs


def _prediction(entry: Mapping[str, Any], path: Path) -> Prediction:
    parsed = {name: entry[name].strip() for name in ("statement", "why")}
    try:
        for name in ("metric", "value"):
            if isinstance(entry[name], str):
                parsed[name] = Reference.parse(entry[name])
    except LabError as error:
        raise LabError(f"{path}: predictions.{entry['id']}: {error}") from None
    return Prediction(**{"times": 1, "tolerance": 0} | entry | parsed)


def _check_names(given: Mapping[str, Any], path: Path) -> None:
    parts = [*given["runs"].values(), given.get("comparisons", {})]
    for name, count in Counter(name for part in parts for name in part).items():
        if count > 1:
            raise LabError(f"{path}: {name} is the name of two runs or comparisons")
    for id, count in Counter(entry["id"] for entry in given["predictions"]).items():
        if count > 1:
            raise LabError(f"{path}: predictions: the id {id} is given twice")


def _check_references(experiment: Experiment, path: Path) -> None:
    for name, pair in experiment.comparisons.items():
        for run in pair.values():
            if run not in experiment.runs:
                raise LabError(f"{path}: comparisons.{name}: there is no run {run}")
    for prediction in experiment.predictions:
        for term in (term for reference in prediction.references for term in reference.terms):
            _check_term(experiment, term, f"{path}: predictions.{prediction.id}")


def _check_term(experiment: Experiment, term: Term, where: str) -> None:
    known: Mapping[str, Metric] = METRICS
    if term.source in experiment.comparisons:
        known = COMPARISON_METRICS
        if term.priority is not None:
            raise LabError(f"{where}: {term.source} is a comparison and has no priorities")
    elif term.source not in experiment.runs:
        raise LabError(f"{where}: {term.source} is neither a run nor a comparison")
    elif term.priority is not None:
        known = REQUEST_METRICS
    elif experiment.runs[term.source].is_captured:
        known = METRICS | CAPTURE_METRICS
    if term.metric not in known:
        raise LabError(f"{where}: {term.source} has no metric {term.metric}; it has {', '.join(known)}")
