"""The prefix cache off and on, its hits held against the sharing analysis: the plan's test 2.1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from vllm_lab.common.metric import Metric
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.measure.document import Check, Test, measured
from vllm_lab.measure.phases import phases
from vllm_lab.measure.prediction import SharedTokens, shared_tokens
from vllm_lab.measure.repeats import Reading, Repeats, Run
from vllm_lab.measure.worker import Replayed
from vllm_lab.plan.basics import CLOCK
from vllm_lab.plan.pairs import METHOD, in_turns, side_by_side, warm_up
from vllm_lab.replay.requests import TracedRequest

TEST = Test(
    id="prefix_cache",
    name="Prefix cache off and on",
    question="How much computation and time does the prefix cache save when requests share a prefix?",
    method=f"{METHOD} The whole is done anew for each start of both engines; the starts check each other.",
    how_obtained=f"{CLOCK}; hits from vLLM's counters vllm:prefix_cache_queries and vllm:prefix_cache_hits, "
    "after less before; computed tokens from each step's schedule",
    metrics={
        "actual_speedup_ratio": Metric("x", "off_total_time / on_total_time of each run"),
        "cache_hit_rate": Metric("fraction", "hits / queries, prompt tokens by vLLM's counters"),
        "compute_saved_pct": Metric("%", "100 x (1 - prompt tokens computed with / without the cache)"),
        "hit_tokens": Metric("tokens", "hits by vLLM's counters"),
        "off_computed_tokens": Metric("tokens", "prompt tokens computed without the cache"),
        "on_computed_tokens": Metric("tokens", "prompt tokens computed with it"),
        "off_total_time": Metric("s", "start of the first step to the end of the last, without the cache"),
        "on_total_time": Metric("s", "the same with it"),
        "off_first_token_latency_ms": Metric("ms", "arrival to first token, mean, without the cache"),
        "on_first_token_latency_ms": Metric("ms", "the same with it"),
    },
    headline="actual_speedup_ratio",
)


def account(
    settings: EngineSettings,
    parameters: dict[str, Any],
    requests: Sequence[TracedRequest],
    repeats: Repeats,
    threads: int,
) -> dict[str, Any]:
    """The test's document."""
    both = {
        name: replace(settings, limits=replace(settings.limits, prefix_caching=caching), log_stats=True)
        for name, caching in (("off", False), ("on", True))
    }
    each = repeats.divided(parameters["starts"])
    starts = [_start(both, requests, each, threads) for _ in range(parameters["starts"])]
    test = TEST.on(parameters["prompts"])
    runs = [run for start in starts for run in start.runs]
    checks = [
        *_by_analysis(
            shared_tokens(requests, settings.limits.block_size), [run.values["hit_tokens"] for run in runs]
        ),
        Check(
            "hits_by_scheduler",
            "requests with other hits than vLLM's scheduler alone foretells, all runs",
            0,
            sum(start.wrong for start in starts),
        ),
    ]
    first, *others = (fmean(run.values[TEST.headline] for run in start.runs if run.used) for start in starts)
    checks += [
        Check(
            "starts_agree",
            f"actual_speedup_ratio: start {number} of the engines against start 1",
            first,
            other,
            tolerance_pct=repeats.tolerance_pct,
        )
        for number, other in enumerate(others, 2)
    ]
    return measured(test, settings.device, parameters, starts[-1].environments, runs, repeats, checks)


@dataclass(frozen=True)
class _Start:
    """What one start of both engines gave."""

    runs: list[Run]
    wrong: int  # requests, in all runs, whose hits are not what vLLM's scheduler foretells
    environments: dict[str, Any]


def _start(
    both: Mapping[str, EngineSettings], requests: Sequence[TracedRequest], repeats: Repeats, threads: int
) -> _Start:
    with side_by_side(both) as engines:
        warm_up(engines, requests)
        foretold = {row.request_id: row.cached_tokens for row in engines["on"].scheduled(requests)}
        wrong: list[int] = []  # in each run

        def once(number: int) -> Reading:
            replays = in_turns(engines, requests, number)
            found = {row.request_id: row.cached_tokens for row in replays["on"].measured.requests}
            wrong.append(sum(found[name] != tokens for name, tokens in foretold.items()))
            return _values(replays, requests)

        runs = repeats.run(once, TEST.headline, threads)
        return _Start(runs, sum(wrong), {name: engine.environment for name, engine in engines.items()})


def _by_analysis(shared: SharedTokens, hits: Sequence[float]) -> list[Check]:
    """The runs' hit tokens against what the sharing analysis says of the same requests.

    Where a later prompt goes on from an answer, it depends on the time whether it finds that in the cache:
    then the analysis gives bounds.
    """
    if shared.prompts == shared.with_outputs:
        return [
            Check(
                "hits_by_analysis",
                f"hit tokens by the sharing analysis, {word} in a run",
                shared.prompts,
                found,
            )
            for word, found in (("fewest", min(hits)), ("most", max(hits)))
        ]
    return [
        Check(
            "hits_by_analysis",
            f"hit tokens short of the {shared.prompts} that prompts share, by the sharing analysis",
            0,
            max(0.0, shared.prompts - min(hits)),
        ),
        Check(
            "hits_by_analysis",
            f"hit tokens beyond the {shared.with_outputs} that prompts share with outputs too",
            0,
            max(0.0, max(hits) - shared.with_outputs),
        ),
    ]


def _values(replays: dict[str, Replayed], requests: Sequence[TracedRequest]) -> Reading:
    prompts = {row.request_id: len(row.prompt) for row in requests}
    computed, total, waited = {}, {}, {}
    for name, replayed in replays.items():
        steps = replayed.measured.steps
        computed[name] = sum(phase.prompt_tokens for phase in phases(steps, prompts).values())
        total[name] = steps[-1].time + steps[-1].seconds - steps[0].time
        waited[name] = 1000 * fmean(row.ttft for row in replayed.measured.requests)
    counters = replays["on"].counters
    return Reading(
        {
            "actual_speedup_ratio": total["off"] / total["on"],
            "cache_hit_rate": counters["hits"] / counters["queries"],
            "compute_saved_pct": 100 * (1 - computed["on"] / computed["off"]),
            "hit_tokens": counters["hits"],
            **{f"{name}_computed_tokens": computed[name] for name in replays},
            **{f"{name}_total_time": total[name] for name in replays},
            **{f"{name}_first_token_latency_ms": waited[name] for name in replays},
        }
    )
