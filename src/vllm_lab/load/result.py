"""The result of a sweep: each replay's metrics, the document with the predictions, the table of requests."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from vllm_lab.common.metric import Metric, Value, title_of
from vllm_lab.common.statistics import Distribution, verification
from vllm_lab.load.measurements import Cell, SentRequest, Sweep
from vllm_lab.measure.document import Test, document_of, results_of
from vllm_lab.measure.workload import trace_of
from vllm_lab.replay.replay import Outcome
from vllm_lab.sharing.analysis import SharedTokens

SOURCE = "vLLM, vllm/benchmarks/serve.py"
TIMES = {
    "ttft": ("TTFT", "request sent to first chunk of the stream"),
    "tpot": ("TPOT", "(last chunk - first chunk) / (output tokens - 1), of requests with two tokens or more"),
    "itl": ("ITL", "each gap between two chunks, of all requests together"),
    "e2e": ("E2E", "request sent to last chunk"),
}
LIMITED = ("ttft", "tpot", "e2e")  # the latencies that have a limit
PERCENTS = (50, 90, 95, 99)
STATISTICS = {"mean": "mean", **{f"p{percent}": f"{percent}th percentile" for percent in PERCENTS}}
METRICS = {
    "requests": Metric("requests", "requests sent", "Sent"),
    "completed": Metric("requests", "requests answered in full and without an error", "Completed", SOURCE),
    "failed": Metric("requests", "requests - completed", "Failed", SOURCE),
    "duration": Metric(
        "s", "first request sent to last chunk of all requests, the drain included", "Duration", SOURCE),
    "lateness_max": Metric(
        "s", "largest delay between a request's arrival time and its sending, caused by the client"),
    "request_throughput": Metric("requests/s", "completed / duration", "Request throughput", SOURCE),
    "output_throughput": Metric(
        "tokens/s", "output tokens of completed requests / duration", "Output token throughput", SOURCE),
    "total_throughput": Metric(
        "tokens/s", "prompt and output tokens of completed requests / duration", "Total token throughput",
        SOURCE),
    "goodput": Metric(
        "requests/s", "completed requests that meet every latency limit / duration", "Goodput", SOURCE),
    "within_limits": Metric("fraction", "requests that meet every latency limit / requests sent"),
    "steady_output_throughput": Metric(
        "tokens/s",
        "chunks that arrived in the steady state / its seconds; the steady state lasts from the request that "
        "ends the first quarter to the request that begins the last quarter",
        "Output token throughput, steady state"),
    "steady_ttft_p50": Metric(
        "s", "median TTFT of the requests sent in the steady state", "TTFT, steady state, median"),
    "steady_e2e_p50": Metric(
        "s", "median E2E of the requests sent in the steady state", "E2E, steady state, median"),
    **{
        f"{time}_{name}": Metric("s", f"{words}: {statistic}", f"{title}, {statistic}", SOURCE)
        for time, (title, words) in TIMES.items()
        for name, statistic in STATISTICS.items()
    },
}  # fmt: skip
TURNS_BY = "ttft_p50"  # the metric that shows whether latency has turned up
HEADLINE = (  # the metrics of each rate among the results
    "ttft_p50", "ttft_p95", "tpot_p50", "itl_p99", "e2e_p50", "e2e_p95", "output_throughput", "goodput",
)  # fmt: skip
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
    "rate": "float", "repeat": "int", "request_id": "string", "arrival": "float", "sent": "float",
    "prompt_tokens": "int", "asked_tokens": "int", "output_tokens": "int",
    "cached_tokens": "int?", "predicted_cached_tokens": "int?",
    "ttft": "float?", "tpot": "float?", "e2e": "float?",
    "predicted_ttft": "float?", "predicted_e2e": "float?",
    "itls": "string", "error": "string?",
}  # fmt: skip
Predicted = Mapping[float, Sequence[Outcome]]  # rate -> each request in virtual time


def metrics(requests: Sequence[SentRequest], limits: Mapping[str, float]) -> dict[str, Value]:
    """A value for every name in METRICS; None if no request has the value. `limits`: LIMITED -> s."""
    complete = [request for request in requests if request.e2e is not None]
    last = max((request.sent + request.e2e for request in complete), default=None)
    duration = None if last is None else last - min(request.sent for request in requests)
    good = sum(  # one token has no TPOT that could exceed its limit
        all((getattr(request, time) or 0.0) <= limit for time, limit in limits.items())
        for request in complete
    )
    output = sum(request.output_tokens for request in complete)
    prompt = sum(request.prompt_tokens for request in complete)

    def per_second(count: int) -> float | None:
        return count / duration if duration else None

    return {
        "requests": len(requests),
        "completed": len(complete),
        "failed": len(requests) - len(complete),
        "duration": duration,
        "lateness_max": max(request.sent - request.arrival for request in requests),
        "request_throughput": per_second(len(complete)),
        "output_throughput": per_second(output),
        "total_throughput": per_second(prompt + output),
        "goodput": per_second(good),
        "within_limits": good / len(requests),
        **_steady(requests),
        **_latencies(complete),
    }


def _steady(requests: Sequence[SentRequest]) -> dict[str, float | None]:
    """The steady state: the replay without its first quarter, when the server fills, and its last quarter."""
    ordered = sorted(requests, key=lambda request: request.sent)
    quarter = len(ordered) // 4
    middle = ordered[quarter : len(ordered) - quarter]
    start, end = middle[0].sent, middle[-1].sent
    chunks = sum(start <= chunk < end for request in requests for chunk in request.chunks)
    complete = [request for request in middle if request.e2e is not None]
    return {
        "steady_output_throughput": chunks / (end - start) if end > start else None,
        **{f"steady_{time}_p50": _p50(complete, time) for time in ("ttft", "e2e")},
    }


def _latencies(complete: Sequence[SentRequest]) -> dict[str, float | None]:
    samples = {time: _known(complete, time) for time in LIMITED}
    samples["itl"] = [gap for request in complete for gap in request.itls]
    summaries = {time: Distribution.of(samples[time]).summary(PERCENTS) for time in TIMES}
    return {f"{time}_{name}": summaries[time][name] for time in TIMES for name in STATISTICS}


def _p50(rows: Iterable[SentRequest | Outcome], time: str) -> float | None:
    return Distribution.of(_known(rows, time)).percentile(50)


def _known(rows: Iterable[SentRequest | Outcome], time: str) -> list[float]:
    return [value for row in rows if (value := getattr(row, time)) is not None]


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
    limits = {time: parameters[f"limit_{time}"] for time in LIMITED}
    shared = SharedTokens.of(trace_of(found.workload), raw["parameters"]["block_size"])
    rates = [_rate(rate, cells, limits, shared, predicted[rate]) for rate, cells in found.by_rate()]
    highest = rates[-1]["runs_output_throughput"] if rates else []  # its repeats show how well runs agree
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
        verification=verification("output_throughput", highest) if highest else None,
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
    """The first rate at which latency has turned up, and the last rate before it; None where there is none.

    Latency has turned up if a request failed, or if TURNS_BY is more than `factor` times its value at the
    lowest rate.
    """
    values = [row["metrics"] for row in rates]
    base = values[0][TURNS_BY] if rates else None
    turned = [row["failed"] or base is None or row[TURNS_BY] > factor * base for row in values]
    first = next((index for index, bad in enumerate(turned) if bad), None)
    return {
        "metric": TURNS_BY,
        "factor": factor,
        "last_rate_before": rates[first - 1]["rate"] if first else None,
        "first_rate_after": None if first is None else rates[first]["rate"],
    }


def _run(cell: Cell, limits: Mapping[str, float]) -> dict[str, Any]:
    kept = ("rate", "repeat", "counters", "errors", "problem", "load_before", "load_after")
    found = metrics(cell.requests, limits) if cell.requests else None
    return {"metrics": found, **{name: getattr(cell, name) for name in kept}}


def _rate(
    rate: float,
    cells: Sequence[Cell],
    limits: Mapping[str, float],
    shared: SharedTokens,
    predicted: Sequence[Outcome],
) -> dict[str, Any]:
    found = [metrics(cell.requests, limits) for cell in cells]
    return {
        "rate": rate,
        "metrics": {name: _median([row[name] for row in found]) for name in METRICS},
        "runs_output_throughput": [value for row in found if (value := row["output_throughput"]) is not None],
        # without the requests that the scheduler's limits refuse
        "predicted": {f"{time}_p50": _p50(predicted, time) for time in LIMITED},
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
