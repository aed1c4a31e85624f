"""The raw measurements: every step and every held-out request of every run, as one JSON file."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vllm_lab.measure import repeats
from vllm_lab.measure.repeats import Disturbance
from vllm_lab.replay.replay import Outcome, TracedRequest

FITTED, HELDOUT = "fitted", "heldout"  # the two sets of requests


@dataclass(frozen=True)
class TimedStep:
    """One step of the engine."""

    start: float  # s since the replay began
    seconds: float  # to schedule, to run the model, to sample and to hand out the tokens
    scheduled: dict[str, int]  # request id -> new tokens, in the order of scheduling
    computed: dict[str, int]  # request id -> tokens in the KV cache at the end of the step


@dataclass(frozen=True, eq=False)
class Run:
    """One repetition of one set of requests. Every group of requests is a replay of its own."""

    steps: list[list[TimedStep]]  # [groups][steps]
    requests: list[Outcome]  # the held-out requests, in order of arrival; empty for the requests to fit to
    disturbance: Disturbance

    @property
    def seconds(self) -> float:
        """Time spent in steps (s)."""
        return sum(step.seconds for group in self.steps for step in group)

    @property
    def num_steps(self) -> int:
        """The number of steps in all groups."""
        return sum(map(len, self.steps))


@dataclass(frozen=True)
class Measurements:
    """All repetitions. Those of the set `fitted` have the same steps, as all their requests come at 0 s."""

    fitted: list[Run]
    heldout: list[Run]
    requests: list[TracedRequest]  # the held-out requests, in order of arrival
    prompts: dict[str, int]  # request id -> prompt tokens, of both sets
    environment: dict[str, Any]  # versions, the device, and vLLM's resolved configuration

    @property
    def sets(self) -> dict[str, list[Run]]:
        """The runs by the name of their set."""
        return {FITTED: self.fitted, HELDOUT: self.heldout}


def used(runs: Sequence[Run]) -> list[Run]:
    """The runs that count: see repeats.used."""
    counts = repeats.used([run.disturbance for run in runs])
    return [run for run, counting in zip(runs, counts, strict=True) if counting]


def content_of(measurements: Measurements) -> dict[str, Any]:
    """The measurements as JSON stores them."""
    return {
        "environment": measurements.environment,
        "prompts": measurements.prompts,
        "requests": list(map(asdict, measurements.requests)),
        "runs": [{"set": name, **asdict(run)} for name, runs in measurements.sets.items() for run in runs],
    }


def measurements_of(content: Mapping[str, Any]) -> Measurements:
    """The measurements that `content_of` stored."""
    runs: dict[str, list[Run]] = {FITTED: [], HELDOUT: []}
    for run in content["runs"]:
        steps = [[TimedStep(**step) for step in group] for group in run["steps"]]
        requests = [Outcome(**row) for row in run["requests"]]
        runs[run["set"]].append(Run(steps, requests, Disturbance(**run["disturbance"])))
    requests = [TracedRequest(**row) for row in content["requests"]]
    return Measurements(**runs, requests=requests, prompts=content["prompts"],
                        environment=content["environment"])  # fmt: skip
