"""The prefix cache off and on, its hits compared with the sharing analysis: test 2.1 of docs/plan.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from vllm_lab.common.metric import Metric, qualified
from vllm_lab.measure.document import Check, Test
from vllm_lab.measure.repeats import Reading, Run
from vllm_lab.measure.sides import IN_TURNS, in_turns, of_sides, side_by_side, values_of_sides
from vllm_lab.measure.worker import CLOCK, LATENCIES, THROUGHPUT, Replayed
from vllm_lab.measure.workload import trace_of
from vllm_lab.oracle import engine as scheduler
from vllm_lab.plan.job import Job
from vllm_lab.replay.replay import TracedRequest
from vllm_lab.sharing.analysis import SharedTokens

UNPREDICTED = "unpredicted_requests"  # in a run's values: requests with other hits than predicted
WAIT = "first_token_latency_ms"
EACH = {  # the metrics of each side
    "computed_tokens": Metric("tokens", "prompt tokens computed"),
    "total_time": THROUGHPUT["total_time"],
    WAIT: qualified(WAIT, LATENCIES[WAIT], "mean"),
}
TEST = Test(
    id="prefix_cache",
    name="Prefix cache off and on",
    question="How much computation and time does the prefix cache save when requests share a prefix?",
    method=f"{IN_TURNS} All of it is repeated for each start of both engines, and the starts are compared.",
    how_obtained=f"{CLOCK}; hits from vLLM's counters vllm:prefix_cache_queries and "
    "vllm:prefix_cache_hits, as their growth in each run; computed tokens from each step's schedule",
    metrics={
        "actual_speedup_ratio": Metric("x", "off_total_time / on_total_time of each run", "Speedup"),
        "cache_hit_rate": Metric("fraction", "hits / queries, prompt tokens by vLLM's counters"),
        "compute_saved_pct": Metric(
            "%", "100 x (1 - prompt tokens computed with / without the cache)", "Prompt computation saved"
        ),
        "hit_tokens": Metric("tokens", "hits by vLLM's counters"),
        **of_sides(EACH, ("off", "on")),
    },
    headline="actual_speedup_ratio",
)


def document(job: Job, requests: Sequence[TracedRequest]) -> dict[str, Any]:
    """Measure and return the test's document. Both engines start as often as the flag `starts` says."""
    starts, environments = [], {}
    for _ in range(job.args.starts):
        runs, environments = _start(job, requests)
        starts.append(runs)
    every = [run for runs in starts for run in runs]
    shared = SharedTokens.of(trace_of(requests), job.args.block_size)
    checks = [*_by_analysis(shared, every), _by_scheduler(every), *_between(starts, job.args.tolerance_pct)]
    return job.document(TEST, environments, every, checks=checks)


def _start(job: Job, requests: Sequence[TracedRequest]) -> tuple[list[Run], dict[str, Any]]:
    """Start both engines once and measure: the runs, and the environment of each engine."""
    settings = replace(job.settings(requests), log_stats=True)
    both = {
        side: replace(settings, limits=replace(settings.limits, prefix_caching=caching))
        for side, caching in (("off", False), ("on", True))
    }
    with side_by_side(both, requests) as engines:
        predicted = engines["on"].call(scheduler.run, requests, both["on"].limits).requests
        hits = {row.request_id: row.cached_tokens for row in predicted}
        runs = job.runs(
            lambda run: Reading(_values(in_turns(engines, requests, run), hits)), TEST, job.args.starts
        )
        return runs, {side: engine.environment for side, engine in engines.items()}


def _values(replays: Mapping[str, Replayed], predicted: Mapping[str, int | None]) -> dict[str, float]:
    """Values of TEST's metrics, and UNPREDICTED. `predicted`: request id -> hit tokens."""
    sides = {
        side: {
            "computed_tokens": sum(phase.prompt_tokens for phase in replayed.phases().values()),
            "total_time": replayed.total_time,
            WAIT: fmean(replayed.latencies_ms()[WAIT]),
        }
        for side, replayed in replays.items()
    }
    off, on = sides["off"], sides["on"]
    hits = replays["on"].counters
    return {
        "actual_speedup_ratio": off["total_time"] / on["total_time"],
        "cache_hit_rate": hits["hits"] / hits["queries"],
        "compute_saved_pct": 100 * (1 - on["computed_tokens"] / off["computed_tokens"]),
        "hit_tokens": hits["hits"],
        **values_of_sides(sides),
        UNPREDICTED: sum(row.cached_tokens != predicted[row.request_id] for row in replays["on"].requests),
    }


def _by_analysis(shared: SharedTokens, runs: Sequence[Run]) -> list[Check]:
    """Compare the runs' hit tokens with those that the sharing analysis predicts for the same requests.

    Where a later prompt continues an answer, it depends on the time whether the cache has that answer. Then
    the analysis gives bounds.
    """
    hits = [run.values["hit_tokens"] for run in runs]
    fewest, most = min(hits), max(hits)
    if shared.prompts == shared.with_outputs:
        words = "hit tokens by the sharing analysis"
        rows = [
            (f"{words}, fewest in a run", shared.prompts, fewest),
            (f"{words}, most in a run", shared.prompts, most),
        ]
    else:
        below = f"hit tokens short of the {shared.prompts} that prompts share, by the sharing analysis"
        above = f"hit tokens beyond the {shared.with_outputs} that prompts share with outputs too"
        rows = [
            (below, 0, max(0.0, shared.prompts - fewest)),
            (above, 0, max(0.0, most - shared.with_outputs)),
        ]
    return [Check("hits_by_analysis", *row) for row in rows]


def _by_scheduler(runs: Sequence[Run]) -> Check:
    """Compare each request's hits with those that vLLM's scheduler alone predicts, in virtual time."""
    statement = "requests with other hits than vLLM's scheduler alone predicts, all runs"
    return Check("hits_by_scheduler", statement, 0, sum(run.values[UNPREDICTED] for run in runs))


def _between(starts: Sequence[Sequence[Run]], tolerance_pct: float) -> list[Check]:
    """Compare the mean speedup of each later start of the engines with that of the first one."""
    first, *later = [fmean(run.values[TEST.headline] for run in runs if run.used) for runs in starts]
    statement = f"{TEST.headline}: start {{}} of the engines against start 1"
    return [
        Check("starts_agree", statement.format(number), first, speedup, tolerance_pct)
        for number, speedup in enumerate(later, 2)
    ]
