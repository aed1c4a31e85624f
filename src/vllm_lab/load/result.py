"""The table and the document that tell of a sweep, or of why there was none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from vllm_lab.common.host import hardware
from vllm_lab.common.metric import Value
from vllm_lab.common.statistics import Distribution, verification
from vllm_lab.load.measures import METRICS, LatencyLimits, measures
from vllm_lab.load.sweep import Cell, Sweep, by_rate
from vllm_lab.measure.prediction import SharedTokens
from vllm_lab.replay.replay import Outcome

TURNS_BY = "ttft_p50"  # the latency that is looked at for the turn
HEADLINE = (
    "ttft_p50",
    "ttft_p95",
    "tpot_p50",
    "itl_p99",
    "e2e_p50",
    "e2e_p95",
    "output_throughput",
    "goodput",
)
COLUMNS = (
    "rate",
    "repeat",
    "request_id",
    "arrival",
    "sent",
    "prompt_tokens",
    "asked_tokens",
    "output_tokens",
    "cached_tokens",
    "predicted_cached_tokens",
    "ttft",
    "tpot",
    "e2e",
    "predicted_ttft",
    "predicted_e2e",
    "itls",
    "error",
)
Predicted = Mapping[float, Sequence[Outcome]]  # of each rate, by vLLM's scheduler in virtual time


def request_table(found: Sweep, predicted: Predicted) -> Iterator[list[Any]]:
    """A row of COLUMNS for every request that was sent. Times in s; itls: the gaps, with spaces between."""
    for cell in found.cells:
        foretold = {outcome.request_id: outcome for outcome in predicted[cell.rate]}
        for answer in cell.answers:
            ours = foretold[answer.request_id]
            gaps = " ".join(f"{gap:.6f}" for gap in answer.itls)
            yield [cell.rate, cell.repeat, answer.request_id, answer.arrival, answer.sent,
                   answer.prompt_tokens, answer.asked_tokens, answer.output_tokens, answer.cached_tokens,
                   ours.cached_tokens, answer.ttft, answer.tpot, answer.e2e, ours.ttft, ours.e2e, gaps,
                   answer.error]  # fmt: skip


def not_run(parameters: dict[str, Any], device: str, reason: str) -> dict[str, Any]:
    """The document of a sweep that could not be."""
    return _document(parameters, device, "not_run") | {"reason": reason}


def measured(
    parameters: dict[str, Any],
    found: Sweep,
    limits: LatencyLimits,
    turn_factor: float,
    shared: SharedTokens,
    predicted: Predicted,
) -> dict[str, Any]:
    """The document of a sweep: every replay, each rate's medians, hits against both predictions."""
    rates = [_rate(rate, cells, limits, shared, predicted[rate]) for rate, cells in by_rate(found.cells)]
    return _document(parameters, found.environment["device"], "measured") | {
        "environment": found.environment,
        "server_exit_status": found.exit_status,
        "definitions": {name: metric._asdict() for name, metric in METRICS.items()},
        "runs": [_run(cell, limits) for cell in found.cells],
        "rates": rates,
        "turn": turn(rates, turn_factor),
        "results": {
            f"{name}_at_{row['rate']:g}": {"value": row["metrics"][name], "unit": METRICS[name].unit}
            for row in rates
            for name in HEADLINE
            if row["metrics"][name] is not None
        },
        "verification": _verification(rates),
    }


def turn(rates: Sequence[Mapping[str, Any]], factor: float) -> dict[str, Any]:
    """Where latency turns up: the first rate at which TURNS_BY is more than `factor` times its value at the
    lowest rate, or at which a request failed, and the last rate before it; None where there is none."""
    base = rates[0]["metrics"][TURNS_BY] if rates else None
    bad = (
        index
        for index, row in enumerate(rates)
        if row["metrics"]["failed"] or base is None or row["metrics"][TURNS_BY] > factor * base
    )
    first = next(bad, None)
    return {
        "metric": TURNS_BY,
        "factor": factor,
        "last_rate_before": rates[first - 1]["rate"] if first else None,
        "first_rate_after": None if first is None else rates[first]["rate"],
    }


def _document(parameters: dict[str, Any], device: str, status: str) -> dict[str, Any]:
    return {
        "test_id": "server_replay",
        "test_name": "A trace replayed against vLLM's OpenAI-compatible server",
        "test_date": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": hardware(),
        "device": device,
        "method": "api_server on the loopback, prefix caching on, its answers forced to the trace's; an "
        "open-loop asyncio client streams /v1/completions at the trace's arrival times, squeezed to each "
        "rate; the prefix cache is emptied before each replay",
        "how_obtained": "time.perf_counter in the client at each streamed chunk; hits from the server's "
        "cumulative Prometheus counters, read before and after each replay",
        "parameters": parameters,
        "status": status,
        "reason": None,
        "environment": None,
        "server_exit_status": None,
        "definitions": {},
        "runs": [],
        "rates": [],
        "turn": None,
        "results": {},
        "verification": None,
    }


def _run(cell: Cell, limits: LatencyLimits) -> dict[str, Any]:
    return {
        "rate": cell.rate,
        "repeat": cell.repeat,
        "metrics": measures(cell.answers, limits) if cell.answers else None,
        "counters": cell.counters,
        "errors": cell.errors,
        "problem": cell.problem,
        "load_before": cell.load_before,
        "load_after": cell.load_after,
    }


def _rate(
    rate: float,
    cells: Sequence[Cell],
    limits: LatencyLimits,
    shared: SharedTokens,
    predicted: Sequence[Outcome],
) -> dict[str, Any]:
    found = [measures(cell.answers, limits) for cell in cells]
    return {
        "rate": rate,
        "metrics": {name: _median([metrics[name] for metrics in found]) for name in METRICS},
        "runs_output_throughput": [
            value for metrics in found if (value := metrics["output_throughput"]) is not None
        ],
        "predicted": {  # of requests that the limits do not refuse
            f"{time}_p50": Distribution.of(
                [value for row in predicted if (value := getattr(row, time)) is not None]
            ).percentile(50)
            for time in ("ttft", "tpot", "e2e")
        },
        "hit_tokens": {
            "measured": [cell.counters["prefix_cache_hits"] for cell in cells if cell.counters],
            "told_to_clients": [sum(a.cached_tokens or 0 for a in cell.answers) for cell in cells],
            "scheduler": sum(row.cached_tokens or 0 for row in predicted),
            "sharing_of_prompts": shared.prompts,
            "sharing_with_outputs": shared.with_outputs,
        },
    }


def _median(values: Sequence[Value]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def _verification(rates: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """How well the repeats at the highest rate agree, if any was answered."""
    throughputs = rates[-1]["runs_output_throughput"] if rates else []
    return verification("output_throughput", throughputs) if throughputs else None
