"""The result of a sweep, with what was predicted for it: the document and the table of requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from vllm_lab.common.metric import Metric, Value, title_of
from vllm_lab.common.statistics import Distribution, verification
from vllm_lab.load.measurements import Cell, Sweep
from vllm_lab.load.metrics import METRICS, LatencyLimits, metrics
from vllm_lab.measure.document import Test, document_of, results_of
from vllm_lab.measure.workload import trace_of
from vllm_lab.replay.replay import Outcome
from vllm_lab.sharing.analysis import SharedTokens

TURNS_BY = "ttft_p50"  # the metric that shows whether latency has turned up
LATENCIES = ("ttft_p50", "ttft_p95", "tpot_p50", "itl_p99", "e2e_p50", "e2e_p95")
HEADLINE = (*LATENCIES, "output_throughput", "goodput")  # the metrics of each rate among the results
REPLAYS = {
    "replays": Metric("replays", "rates x repeats"),
    "complete_replays": Metric("replays", "replays in which every request was answered in full"),
}
TEST = Test(
    id="load",
    name="vLLM's OpenAI-compatible server under load",
    question="At which arrival rate does the latency of vLLM's server turn up?",
    method="api_server runs on the loopback with prefix caching and answers with the trace's outputs. An "
    "open-loop asyncio client streams /v1/completions at the trace's arrival times, squeezed to each rate. "
    "The prefix cache is emptied before each replay.",
    how_obtained="time.perf_counter in the client at each streamed chunk; hits from the server's cumulative "
    "Prometheus counters, read before and after each replay",
    metrics=REPLAYS | METRICS,
    headline="output_throughput",
)
COLUMNS = {
    "rate": "float",
    "repeat": "int",
    "request_id": "string",
    "arrival": "float",
    "sent": "float",
    "prompt_tokens": "int",
    "asked_tokens": "int",
    "output_tokens": "int",
    "cached_tokens": "int?",
    "predicted_cached_tokens": "int?",
    "ttft": "float?",
    "tpot": "float?",
    "e2e": "float?",
    "predicted_ttft": "float?",
    "predicted_e2e": "float?",
    "itls": "string",
    "error": "string?",
}
Predicted = Mapping[float, Sequence[Outcome]]  # rate -> each request in virtual time


def request_table(found: Sweep, predicted: Predicted) -> Iterator[list[Any]]:
    """A row of COLUMNS for every request that was sent. Times in s; itls: the gaps, separated by spaces."""
    for cell in found.cells:
        expected = {outcome.request_id: outcome for outcome in predicted[cell.rate]}
        for row in cell.requests:
            outcome = expected[row.request_id]
            gaps = " ".join(f"{gap:.6f}" for gap in row.itls)
            yield [cell.rate, cell.repeat, row.request_id, row.arrival, row.sent, row.prompt_tokens,
                   row.asked_tokens, row.output_tokens, row.cached_tokens, outcome.cached_tokens,
                   row.ttft, row.tpot, row.e2e, outcome.ttft, outcome.e2e, gaps, row.error]  # fmt: skip


def not_run(raw: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The document of a sweep that could not run; the arguments are those of `measured`."""
    return document_of(TEST, raw, parameters, server_exit_status=None, definitions={}, rates=[], turn=None)


def measured(
    raw: Mapping[str, Any], parameters: Mapping[str, Any], found: Sweep, predicted: Predicted
) -> dict[str, Any]:
    """The document of a sweep: every replay, the medians at each rate, and hits with both predictions.

    `raw`: the content of sweep.json, which holds `found`. `parameters`: limit_ttft, limit_tpot, limit_e2e (s)
    and turn_factor.
    """
    limits = LatencyLimits(*(parameters[f"limit_{name}"] for name in ("ttft", "tpot", "e2e")))
    shared = SharedTokens.of(trace_of(found.workload), raw["parameters"]["block_size"])
    rates = [_rate(rate, cells, limits, shared, predicted[rate]) for rate, cells in found.by_rate()]
    return document_of(
        TEST,
        raw,
        parameters,
        environments={"server": found.environment},
        server_exit_status=found.exit_status,
        definitions={name: metric._asdict() for name, metric in METRICS.items()},
        runs=[_run(cell, limits) for cell in found.cells],
        rates=rates,
        turn=turn(rates, parameters["turn_factor"]),
        results=_results(found, rates),
        verification=_verification(rates),
    )


def _results(found: Sweep, rates: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    complete = sum(not (cell.problem or cell.errors) for cell in found.cells)
    table, values = dict(REPLAYS), {"replays": len(found.cells), "complete_replays": complete}
    for row in rates:
        for name in HEADLINE:
            title = f"{title_of(name, METRICS[name])}, at {row['rate']:g} requests/s"
            table[f"{name}_at_{row['rate']:g}"] = METRICS[name]._replace(title=title)
            values[f"{name}_at_{row['rate']:g}"] = row["metrics"][name]
    return results_of(table, values)


def turn(rates: Sequence[Mapping[str, Any]], factor: float) -> dict[str, Any]:
    """Where latency turns up: the first rate at which that is so, and the last rate before it, or None.

    Latency has turned up if a request failed, or if TURNS_BY is more than `factor` times its value at the
    lowest rate.
    """
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


def _run(cell: Cell, limits: LatencyLimits) -> dict[str, Any]:
    return {
        "rate": cell.rate,
        "repeat": cell.repeat,
        "metrics": metrics(cell.requests, limits) if cell.requests else None,
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
    found = [metrics(cell.requests, limits) for cell in cells]
    return {
        "rate": rate,
        "metrics": {name: _median([row[name] for row in found]) for name in METRICS},
        "runs_output_throughput": [value for row in found if (value := row["output_throughput"]) is not None],
        "predicted": {  # without the requests that the limits refuse
            f"{time}_p50": Distribution.of(
                [value for row in predicted if (value := getattr(row, time)) is not None]
            ).percentile(50)
            for time in ("ttft", "tpot", "e2e")
        },
        "hit_tokens": {
            "measured": [cell.counters["prefix_cache_hits"] for cell in cells if cell.counters],
            "reported_to_clients": [sum(row.cached_tokens or 0 for row in cell.requests) for cell in cells],
            "scheduler": sum(row.cached_tokens or 0 for row in predicted),
            "sharing_of_prompts": shared.prompts,
            "sharing_with_outputs": shared.with_outputs,
        },
    }


def _median(values: Sequence[Value]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def _verification(rates: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """How well the repeats at the highest rate agree, if any request was answered there."""
    throughputs = rates[-1]["runs_output_throughput"] if rates else []
    return verification("output_throughput", throughputs) if throughputs else None
