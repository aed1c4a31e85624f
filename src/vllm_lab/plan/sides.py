"""Two engines that take turns: what a test needs that has two sides."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from statistics import fmean

from vllm_lab.common.metric import Metric, qualified
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.measure.worker import LATENCIES, THROUGHPUT, EngineProcess, Replayed, running
from vllm_lab.replay.replay import TracedRequest

IN_TURNS = (
    "Two engines, each in a process of its own, replay the same requests in turns, from an empty prefix "
    "cache. Which one goes first changes from run to run. A ratio is taken within each run."
)
OF_A_SIDE = {  # what each of two engines in turns is measured by
    **THROUGHPUT,
    "computed_tokens": Metric("tokens", "prompt tokens computed"),
    "decode_step_ms": Metric("ms", "seconds of decode steps / their number", "Decode step"),
    **{name: qualified(name, metric, "mean") for name, metric in LATENCIES.items()},
}


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


def metrics_of_sides(sides: Collection[str], names: Collection[str]) -> dict[str, Metric]:
    """The metrics `names` of OF_A_SIDE for each side, named {side}_{metric}."""
    return {
        f"{side}_{name}": qualified(name, OF_A_SIDE[name], side.replace("_", " "))
        for side in sides
        for name in names
    }


def values_of_sides(replays: Mapping[str, Replayed], names: Collection[str]) -> dict[str, float]:
    """Values of `metrics_of_sides`, without those of a kind of step or of a latency that did not occur."""
    return {
        f"{side}_{name}": value
        for side, replayed in replays.items()
        for name, value in _values(replayed).items()
        if name in names
    }


def _values(replayed: Replayed) -> dict[str, float]:
    """Values of OF_A_SIDE."""
    phases = replayed.phases()
    found = replayed.throughput()
    found["computed_tokens"] = sum(phase.prompt_tokens for phase in phases.values())
    if phases["decode"].steps:
        found["decode_step_ms"] = 1000 * phases["decode"].seconds / phases["decode"].steps
    return found | {name: fmean(sample) for name, sample in replayed.latencies_ms().items() if sample}
