"""The prefix cache off and on, its hits compared with the sharing analysis: test 2.1 of docs/plan.md."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from vllm_lab.common.metric import Metric
from vllm_lab.measure.document import Check, Test
from vllm_lab.measure.repeats import Reading, Run
from vllm_lab.measure.worker import CLOCK, Replayed
from vllm_lab.measure.workload import trace_of
from vllm_lab.oracle import engine as scheduler
from vllm_lab.plan.job import Job
from vllm_lab.plan.sides import IN_TURNS, in_turns, metrics_of_sides, side_by_side, values_of_sides
from vllm_lab.replay.replay import TracedRequest
from vllm_lab.sharing.analysis import SharedTokens

UNPREDICTED = "unpredicted_requests"  # in a run's values: requests with other hits than predicted
EACH = ("computed_tokens", "total_time", "first_token_latency_ms")  # the metrics of each side
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
        **metrics_of_sides(("off", "on"), EACH),
    },
    headline="actual_speedup_ratio",
)


def document(job: Job, requests: Sequence[TracedRequest]) -> dict[str, Any]:
    """Measure and return the test's document. Both engines start as often as the flag `starts` says."""
    starts, environments = [], {}
    for _ in range(job.args.starts):
        runs, environments = _start(job, requests)
        starts.append(runs)
    shared = SharedTokens.of(trace_of(requests), job.args.block_size)
    checks = _checks(shared, starts, job.args.tolerance_pct)
    return job.document(TEST, environments, [run for runs in starts for run in runs], checks=checks)


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
    values = values_of_sides(replays, EACH)
    hits = replays["on"].counters
    return values | {
        "actual_speedup_ratio": values["off_total_time"] / values["on_total_time"],
        "cache_hit_rate": hits["hits"] / hits["queries"],
        "compute_saved_pct": 100 * (1 - values["on_computed_tokens"] / values["off_computed_tokens"]),
        "hit_tokens": hits["hits"],
        UNPREDICTED: sum(row.cached_tokens != predicted[row.request_id] for row in replays["on"].requests),
    }


def _checks(shared: SharedTokens, starts: Sequence[Sequence[Run]], tolerance_pct: float) -> Iterator[Check]:
    """Compare the hits with two predictions, and the starts of the engines with the first one.

    The sharing analysis predicts the hit tokens of a run exactly, unless a later prompt continues an answer.
    Then it depends on the time whether the cache has that answer, and the analysis gives bounds. vLLM's
    scheduler alone predicts each request's hits, in virtual time.
    """
    runs = [run for start in starts for run in start]
    hits = [run.values["hit_tokens"] for run in runs]
    kind, fewest, most = "hits_by_analysis", min(hits), max(hits)
    if shared.prompts == shared.with_outputs:
        words = "hit tokens by the sharing analysis"
        yield Check(kind, f"{words}, fewest in a run", shared.prompts, fewest)
        yield Check(kind, f"{words}, most in a run", shared.prompts, most)
    else:
        words = f"hit tokens short of the {shared.prompts} that prompts share, by the sharing analysis"
        yield Check(kind, words, 0, max(0.0, shared.prompts - fewest))
        words = f"hit tokens beyond the {shared.with_outputs} that prompts share with outputs too"
        yield Check(kind, words, 0, max(0.0, most - shared.with_outputs))
    words = "requests with other hits than vLLM's scheduler alone predicts, all runs"
    yield Check("hits_by_scheduler", words, 0, sum(run.values[UNPREDICTED] for run in runs))
    first, *later = [fmean(run.values[TEST.headline] for run in start if run.used) for start in starts]
    for number, speedup in enumerate(later, 2):
        words = f"{TEST.headline}: start {number} of the engines against start 1"
        yield Check("starts_agree", words, first, speedup, tolerance_pct)
