"""One workload with an optimisation off and on, in turns: the plan's tests 2.2 and 2.3."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from vllm_lab.common.errors import Unavailable
from vllm_lab.common.metric import Metric
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.measure.document import Test, measured
from vllm_lab.measure.repeats import Reading, Repeats
from vllm_lab.measure.worker import EngineProcess, Replayed, running
from vllm_lab.plan.basics import CLOCK, throughput, times
from vllm_lab.replay.requests import TracedRequest

METHOD = (
    "Two engines side by side, each in a process of its own, given the same requests in turns, from an empty "
    "prefix cache; which goes first changes from run to run. A ratio is taken within each run."
)
EACH = {
    "total_time": Metric("s", "start of the first step to the end of the last"),
    "prefill_throughput": Metric("tokens/s", "prompt tokens computed in prefill steps / their seconds"),
    "decode_throughput": Metric("tokens/s", "output tokens of decode steps / their seconds"),
    "end_to_end_throughput": Metric("tokens/s", "output tokens / total_time"),
    "decode_step_ms": Metric("ms", "seconds of decode steps / their number"),
    "first_token_latency_ms": Metric("ms", "arrival to first token, mean over the requests"),
    "time_per_output_token_ms": Metric(
        "ms", "(last token - first token) / (output tokens - 1), mean over the requests"
    ),
}


@dataclass(frozen=True)
class Pair:
    """What is compared: the engine's settings `without` and `with_` it, by name."""

    id: str
    name: str
    question: str
    method: str
    without: tuple[str, Mapping[str, Any]]
    with_: tuple[str, Mapping[str, Any]]
    needs: str = ""  # the only device that has it
    loaded: bool = False  # requests arrive one by one instead of all at once
    gain: str = "throughput_improvement"  # the plan's name for what is gained in throughput, %
    step_gain: str = "decode_step_reduction"  # … and for the time that a decode step is shorter by, %

    @property
    def test(self) -> Test:
        """Its metrics: EACH of both sides, and what the second gains on the first."""
        sides = (self.without[0], self.with_[0])
        each = {f"{side}_{name}": metric for side in sides for name, metric in EACH.items()}
        off, on = sides
        gains = {
            self.gain: Metric("%", f"100 x ({on} / {off} - 1) of end_to_end_throughput, of each run"),
            self.step_gain: Metric("%", f"100 x (1 - {on} / {off}) of decode_step_ms, of each run"),
            "speedup": Metric("x", f"{off}_total_time / {on}_total_time of each run"),
        }
        return Test(
            self.id, self.name, self.question, f"{METHOD} {self.method}", CLOCK, gains | each, "speedup"
        )


PAIRS = {
    pair.id: pair
    for pair in (
        Pair(
            "torch_compile",
            "torch.compile against eager",
            "How much faster is the model when torch.compile has compiled it?",
            "No CUDA graphs on either side, so that only compilation differs.",
            ("eager", {"enforce_eager": True}),
            ("compiled", {"enforce_eager": False, "cuda_graphs": False}),
        ),
        Pair(
            "cuda_graphs",
            "CUDA graphs off and on",
            "How much time do CUDA graphs save in a decode step?",
            "Compiled on both sides: cudagraph_mode NONE against vLLM's default.",
            ("no_graphs", {"enforce_eager": False, "cuda_graphs": False}),
            ("graphs", {"enforce_eager": False}),
            needs="cuda",
            step_gain="cpu_overhead_reduction",
        ),
        Pair(
            "scheduler",
            "Prefill and decode separated against mixed",
            "Are steps that only prefill or only decode better than vLLM's mixed steps?",
            "Requests arrive as a Poisson process. Mixed: vLLM's own; separated: a scheduler class given to "
            "vLLM lets prefills go first, in steps without decodes.",
            ("mixed", {"scheduler": "mixed"}),
            ("separated", {"scheduler": "separated"}),
            loaded=True,
            gain="improvement_vs_mixed_scheduler",
        ),
    )
}


@contextmanager
def side_by_side(settings: Mapping[str, EngineSettings]) -> Iterator[dict[str, EngineProcess]]:
    """Engines by name. On a GPU they divide its memory among them, and start one after the other."""
    engines = {}
    for name, own in settings.items():
        share = 0.9 / len(settings) if own.device == "cuda" else None
        engines[name] = EngineProcess(replace(own, memory_share=share))
    with running(*engines.values()):
        for name, engine in engines.items():
            engine.start()
            if settings[name].device == "cuda":
                _ = engine.environment  # is there once it has started: vLLM measures the memory that is left
        yield engines


def warm_up(engines: Mapping[str, EngineProcess], requests: Sequence[TracedRequest]) -> None:
    """Each engine, with some of the requests."""
    for engine in engines.values():
        engine.warm_up(requests)


def in_turns(
    engines: Mapping[str, EngineProcess], requests: Sequence[TracedRequest], number: int
) -> dict[str, Replayed]:
    """Each engine's replay, by name in the order of `engines`; odd runs go the other way round."""
    order = list(engines) if number % 2 == 0 else list(engines)[::-1]
    found = {name: engines[name].replay(requests) for name in order}
    return {name: found[name] for name in engines}


def account(
    pair: Pair,
    settings: EngineSettings,
    parameters: dict[str, Any],
    requests: Sequence[TracedRequest],
    repeats: Repeats,
    threads: int,
) -> dict[str, Any]:
    """The pair's document. Unavailable where the device has nothing to compare."""
    if pair.needs and settings.device != pair.needs:
        raise Unavailable(f"{pair.name}: only on {pair.needs}; the device here is {settings.device}")
    sides = (pair.without, pair.with_)
    with side_by_side({name: replace(settings, **changes) for name, changes in sides}) as engines:
        warm_up(engines, requests)

        def once(number: int) -> Reading:
            return _values(pair, in_turns(engines, requests, number), requests)

        found = repeats.run(once, pair.test.headline, threads)
        environments = {name: engine.environment for name, engine in engines.items()}
    test = pair.test.on(parameters["prompts"])
    return measured(test, settings.device, parameters, environments, found, repeats)


def _values(pair: Pair, replays: Mapping[str, Replayed], requests: Sequence[TracedRequest]) -> Reading:
    values = {
        f"{side}_{name}": value
        for side, replayed in replays.items()
        for name, value in _side(replayed, requests).items()
    }
    off, on = replays
    return Reading(
        values
        | {
            pair.gain: 100
            * (values[f"{on}_end_to_end_throughput"] / values[f"{off}_end_to_end_throughput"] - 1),
            pair.step_gain: 100 * (1 - values[f"{on}_decode_step_ms"] / values[f"{off}_decode_step_ms"]),
            "speedup": values[f"{off}_total_time"] / values[f"{on}_total_time"],
        }
    )


def _side(replayed: Replayed, requests: Sequence[TracedRequest]) -> dict[str, float]:
    found = throughput(replayed, requests)
    waited = times(replayed)
    return {name: value for name, value in found.items() if name in EACH} | {
        "decode_step_ms": 1000 * found["decode_time"] / found["decode_steps"],
        "first_token_latency_ms": fmean(waited["first_token_latency"]),
        "time_per_output_token_ms": fmean(waited["time_per_output_token"]),
    }
