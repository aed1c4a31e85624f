"""Two engines that take turns, with an optimisation off and on, and the metrics of both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from vllm_lab.common.metric import Metric, qualified
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.measure.worker import EngineProcess, Replayed, running
from vllm_lab.replay.replay import TracedRequest

IN_TURNS = (
    "Two engines, each in a process of its own, replay the same requests in turns, from an empty prefix "
    "cache. Which one goes first changes from run to run. A ratio is taken within each run."
)


def of_sides(metrics: Mapping[str, Metric], sides: Iterable[str]) -> dict[str, Metric]:
    """`metrics` of each side of a comparison, named {side}_{metric}."""
    return {
        f"{side}_{name}": qualified(name, metric, side.replace("_", " "))
        for side in sides
        for name, metric in metrics.items()
    }


def values_of_sides(values: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Values of the metrics of `of_sides`. `values`: side -> metric -> value."""
    return {f"{side}_{name}": value for side, own in values.items() for name, value in own.items()}


@contextmanager
def side_by_side(
    settings: Mapping[str, EngineSettings], requests: Sequence[TracedRequest]
) -> Iterator[dict[str, EngineProcess]]:
    """Engines by name, warmed up. On a GPU they share its memory equally and start one after the other."""
    engines = {}
    for name, own in settings.items():
        share = 0.9 / len(settings) if own.device == "cuda" else None
        engines[name] = EngineProcess(replace(own, memory_share=share))
    with running(*engines.values()):
        for name, engine in engines.items():
            engine.start()
            if settings[name].device == "cuda":
                _ = engine.environment  # waits until it has started: vLLM measures the memory that is left
        for engine in engines.values():
            engine.warm_up(requests)
        yield engines


def in_turns(
    engines: Mapping[str, EngineProcess], requests: Sequence[TracedRequest], number: int
) -> dict[str, Replayed]:
    """Run `number`: each engine's replay, in the order of `engines`. In odd runs the last goes first."""
    order = list(engines) if number % 2 == 0 else list(engines)[::-1]
    found = {name: engines[name].replay(requests) for name in order}
    return {name: found[name] for name in engines}
