"""A trace over HTTP against vLLM's server: from load/load.json."""

from collections.abc import Mapping
from typing import Any

from vllm_lab.report.blocks import (
    Answer,
    Block,
    Code,
    Column,
    Figure,
    Heading,
    Note,
    Number,
    Section,
    Table,
    Text,
    text,
)
from vllm_lab.report.results import JsonResult, Results

_FILE = "load/load.json"
_FIGURE = "load/figures/latency_over_rate"
_LATENCIES = {"ttft": "TTFT", "tpot": "TPOT", "itl": "ITL", "e2e": "E2E"}
_PERCENTS = (50, 90, 95, 99)
_THROUGHPUTS = {
    "request_throughput": ("Requests", "requests/s"),
    "output_throughput": ("Output tokens", "tokens/s"),
    "total_throughput": ("All tokens", "tokens/s"),
    "goodput": ("Goodput", "requests/s"),
    "within_limits": ("Within the limits", "fraction"),
    "steady_output_throughput": ("Output tokens, steady state", "tokens/s"),
}
_PREDICTIONS = {
    "scheduler": "vLLM's scheduler in virtual time",
    "sharing_of_prompts": "sharing of prompts",
    "sharing_with_outputs": "sharing with outputs",
}
_CAPTION = (
    "Latency, and requests answered per second, over the arrival rate: lines through the medians of the "
    "repeats, a point a replay; grey, between which rates the latency turns up."
)


def build(results: Results) -> Section | None:
    """The server replay's section; None where there is no account of one."""
    if not results.has(_FILE):
        return None
    found = results.json(_FILE)
    if found.value("status") == "not_run":
        return Section("serving", "Server replay", (_not_run(found),))
    blocks: list[Block] = [_measured(found)]
    answers = []
    if found.value("rates"):
        blocks += [_latency_table(found), _throughput_table(found), *_figure(results)]
        blocks += [Note(_verification(found))] if found.has("verification") else []
        blocks += [Heading("Prefix cache hits"), _hit_table(found), Note(_why_hits_differ())]
        answers += [Answer("At which arrival rate does latency turn up?", (_answer(found),))]
    blocks += [Heading("What went wrong"), *_errors(found)]
    return Section("serving", "Server replay", tuple(blocks), tuple(answers))


def _not_run(found: JsonResult) -> Text:
    reason = found.value("reason")
    number = Number(
        "serving.status", None, "", "not_run", found.file, "status", "Replay against vLLM's server", reason
    )
    return text("The replay against vLLM's server: {state}. {reason}", state=number, reason=reason)


def _measured(found: JsonResult) -> Text:
    return text(
        "vLLM {version}'s OpenAI-compatible server ran on the loopback of {cpu}, beside its client. The same "
        "{requests} requests of the multi-turn trace are sent at each rate, open-loop: every request leaves "
        "at its time, whatever became of the others. Arrivals keep the trace's pattern, squeezed to the "
        "rate. The prefix cache is emptied before each replay; the answers are forced to the trace's. "
        "Repeats of the whole sweep: {repeats}; the tables show their medians.",
        version=str(found.value("environments", "server", "vllm")),
        cpu=str(found.value("hardware", "cpu")),
        requests=found.number(
            "serving.requests",
            "requests",
            "parameters",
            "requests",
            label="Server replay: requests at each rate",
        ),
        repeats=str(found.value("parameters", "repeats")),
    )


def _verification(found: JsonResult) -> Text:
    if found.value("verification", "spread_pct") is None:
        return text("Each rate was replayed once: nothing is verified.")
    loads = [run[when] for run in found.value("runs") for when in ("load_before", "load_after")]
    return text(
        "Verification: at the highest rate the output throughput of the repeats is at most {spread} off "
        "their mean; the tolerance is {tolerance} %. The load (processes running or waiting, these included) "
        "was between {low} and {high}: other jobs on the machine make latencies longer.",
        spread=Number(
            "serving.spread",
            found.value("verification", "spread_pct") / 100,
            "fraction",
            "derived",
            found.file,
            "verification.spread_pct / 100",
            "Server replay: spread of the repeats' output throughput at the highest rate",
        ),
        tolerance=f"{found.value('verification', 'tolerance_pct'):g}",
        low=f"{min(loads):.1f}",
        high=f"{max(loads):.1f}",
    )


def _rate_cells(found: JsonResult) -> list[tuple[int, str]]:
    return [(index, f"{row['rate']:g}/s") for index, row in enumerate(found.value("rates"))]


def _metric(found: JsonResult, index: int, metric: str, unit: str, words: str) -> Number:
    rate = f"{found.value('rates', index, 'rate'):g}"
    return found.number(
        f"serving.{metric}.at_{rate.replace('.', '_')}",
        unit,
        *("rates", index, "metrics", metric),
        label=f"Server replay at {rate} requests/s: {words}",
        decimals=3 if unit == "s" else None,
    )


def _latency_table(found: JsonResult) -> Table:
    rows = tuple(
        (
            rate,
            title,
            *(_metric(found, index, f"{name}_p{p}", "s", f"{title}, p{p}") for p in _PERCENTS),
        )
        for index, rate in _rate_cells(found)
        for name, title in _LATENCIES.items()
    )
    columns = (
        Column("Rate"),
        Column("Latency"),
        *(Column(f"{p}th percentile", numeric=True) for p in _PERCENTS),
    )
    caption = text(
        "TTFT: sent to first chunk of the stream. TPOT: (last − first chunk) / (output tokens − 1). ITL: "
        "each gap between chunks, of all requests together. E2E: sent to last chunk."
    )
    return Table("server-latency", caption, columns, rows)


def _throughput_table(found: JsonResult) -> Table:
    rows = tuple(
        (
            rate,
            *(_metric(found, index, name, unit, title) for name, (title, unit) in _THROUGHPUTS.items()),
            _metric(found, index, "failed", "requests", "failed"),
        )
        for index, rate in _rate_cells(found)
    )
    columns = (
        Column("Rate"),
        *(Column(title, numeric=True) for title, _ in _THROUGHPUTS.values()),
        Column("Failed", numeric=True),
    )
    limits = {
        name: found.number(
            f"serving.limit_{name}",
            "s",
            "parameters",
            f"limit_{name}",
            label=f"Server replay: limit of {_LATENCIES[name]}",
        )
        for name in ("ttft", "tpot", "e2e")
    }
    caption = text(
        "Completed requests and their tokens per second, from the first request sent to the last chunk of "
        "all. Goodput counts the requests that keep all of TTFT ≤ {ttft}, TPOT ≤ {tpot} and E2E ≤ {e2e}. "
        "Steady state: without the first and the last quarter of the arrivals.",
        **limits,
    )
    return Table("server-throughput", caption, columns, rows)


def _hit_table(found: JsonResult) -> Table:
    rows = []
    for index, rate in _rate_cells(found):
        predicted = (
            found.number(
                f"serving.hit_tokens.{name}.at_{rate.removesuffix('/s').replace('.', '_')}",
                "tokens",
                *("rates", index, "hit_tokens", name),
                label=f"Server replay at {rate}: hit tokens, {words}",
            )
            for name, words in _PREDICTIONS.items()
        )
        hits = found.value("rates", index, "hit_tokens")
        rows.append((rate, _listed(hits["measured"]), _listed(hits["reported_to_clients"]), *predicted))
    columns = (
        Column("Rate"),
        Column("Server's counter, each repeat", numeric=True, varies=True),
        Column("Told to clients, each repeat", numeric=True, varies=True),
        *(Column(words.capitalize(), numeric=True) for words in _PREDICTIONS.values()),
    )
    caption = text(
        "Prompt tokens found in the prefix cache: the growth of {counter} over each replay, the sum of what "
        "each answer says, and what was foretold for the same requests and block size.",
        counter=Code("vllm:prefix_cache_hits_total"),
    )
    return Table("server-hits", caption, columns, tuple(rows), (found.file,))


def _listed(values: list[int]) -> str:
    return ", ".join(f"{value:,}" for value in values)


def _why_hits_differ() -> Text:
    return text(
        "The sharing analysis knows no time: with outputs it is what no run can pass, reached where every "
        "turn comes after the one before has been answered. At higher rates a turn overtakes the answer that "
        "it contains, and only the prompts' share is there to be hit. The scheduler in virtual time, its "
        "steps as long as the fitted cost model says, foretells at which rate."
    )


def _errors(found: JsonResult) -> list[Block]:
    rows = tuple(
        (f"{run['rate']:g}/s", str(run["repeat"]), Code(words), count)
        for run in found.value("runs")
        for words, count in _complaints(run)
    )
    status = found.value("server_exit_status")
    end = "" if status is None else f" The server ended by itself, with status {status}."
    if not rows:
        return [text(f"Nothing: every request of every replay was answered in full.{end}")]
    columns = (Column("Rate"), Column("Repeat"), Column("Error"), Column("Requests", numeric=True))
    return [Table("server-errors", text(f"Every error, as it came.{end}"), columns, rows, (found.file,))]


def _complaints(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = [(words, str(count)) for words, count in run["errors"].items()]
    return found + ([(run["problem"], "all")] if run["problem"] else [])


def _answer(found: JsonResult) -> Text:
    turn = found.value("turn")
    if turn["first_rate_after"] is None:
        return text(
            "Up to {rate} it does not: the median TTFT stays below {factor} times that at the lowest rate.",
            rate=_turn_number(found, len(found.value("rates")) - 1, "highest"),
            factor=f"{turn['factor']:g}",
        )
    rates = [row["rate"] for row in found.value("rates")]
    if turn["last_rate_before"] is None:
        return text("Already at {rate}: requests failed there.", rate=_turn_number(found, 0, "lowest"))
    after = rates.index(turn["first_rate_after"])
    return text(
        "Between {before} and {after}: there the median TTFT goes from {low} to {high}, more than {factor} "
        "times that at the lowest rate ({base}), or requests fail.",
        before=_turn_number(found, after - 1, "last_before"),
        after=_turn_number(found, after, "first_after"),
        low=_metric(found, after - 1, "ttft_p50", "s", "TTFT, p50"),
        high=_metric(found, after, "ttft_p50", "s", "TTFT, p50"),
        base=_metric(found, 0, "ttft_p50", "s", "TTFT, p50"),
        factor=f"{turn['factor']:g}",
    )


def _turn_number(found: JsonResult, index: int, name: str) -> Number:
    return found.number(
        f"serving.turn.{name}", "requests/s", "rates", index, "rate", label="Server replay: rate of the turn"
    )


def _figure(results: Results) -> list[Figure]:
    image = results.image(_FIGURE)
    caption = f"{_CAPTION} load.json holds the values."
    return [Figure("latency_over_rate", image, text(_CAPTION), caption)] if image else []
