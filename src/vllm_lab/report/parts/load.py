"""A trace sent over HTTP to vLLM's server: from load/load.json."""

from collections.abc import Mapping

from vllm_lab.common.metric import title_of
from vllm_lab.report import blocks, measured
from vllm_lab.report.blocks import Block, Code, Heading, Text, numbers, table, text
from vllm_lab.report.results import Field, JsonResult, Results, grid

_FILE = "load/load.json"
_LATENCIES = ("ttft", "tpot", "itl", "e2e")
_PERCENTS = (50, 90, 95, 99)
_THROUGHPUTS = (
    "request_throughput", "output_throughput", "total_throughput", "goodput", "within_limits",
    "steady_output_throughput", "failed",
)  # fmt: skip
_PREDICTIONS = {
    "scheduler": "vLLM's scheduler in virtual time",
    "sharing_of_prompts": "Sharing of prompts",
    "sharing_with_outputs": "Sharing with outputs",
}
_CAPTION = (
    "Latency, and requests answered per second, against the arrival rate. Each point is one replay, and the "
    "lines go through the medians of the repeats. Latency turns up between the rates of the grey band."
)
_WHY_HITS_DIFFER = text(
    "The sharing analysis ignores time. Its figure with outputs is an upper bound. A run reaches it if "
    "every turn arrives after the answer to the turn before. At higher rates a turn arrives before the "
    "answer that it contains is complete, and the cache can find only what prompts share. vLLM's "
    "scheduler in virtual time, with the fitted cost model as its clock, predicts at which rate that "
    "happens."
)
Rates = Mapping[str, JsonResult]


def build(results: Results) -> blocks.Section | None:
    """The section; None where no load was sent."""
    if not results.has(_FILE):
        return None
    found = results.json(_FILE, "load", "Load")
    title = "Load on vLLM's server"
    if not measured.ran(found):
        return blocks.section("load", title, measured.whole(results, found))
    shown: list[Block] = [*measured.opening(found), _setting(found)]
    answers = []
    rates = _rates(found)
    if rates:
        shown += [_latency_table(found, rates), *_throughput_table(found, rates)]
        values = "load.json holds the values."
        shown += results.figure("load/figures/latency_over_rate", _CAPTION, values=values)
        shown += [*measured.verification(found), *_loads(found)]
        shown += [Heading("Prefix cache hits", level=4), _hit_table(found, rates)]
        shown.append(blocks.Note(_WHY_HITS_DIFFER))
        answers.append(blocks.Answer("At which arrival rate does latency turn up?", (_answer(found, rates),)))
    shown += [Heading("Errors", level=4), *_errors(found), *measured.parameters(found)]
    return blocks.section("load", title, shown, answers)


def _rates(found: JsonResult) -> dict[str, JsonResult]:
    """Rate in words -> its part of the document."""
    given = {f"{row.value('rate'):g}": row for row in found.each("rates")}
    return {
        f"{rate}/s": row.named(f"load.at_{rate.replace('.', '_')}", f"Load, {rate} requests/s")
        for rate, row in given.items()
    }


def _setting(found: JsonResult) -> Text:
    return text(
        "The server and its client run on the same machine. The same {requests} requests are sent at each "
        "rate. Every request leaves at its time, even if earlier requests are still open. Arrivals keep the "
        "pattern of the trace, compressed to the rate. The prefix cache is emptied before each "
        "replay. Repeats of the whole sweep: {repeats}. The tables show their medians.",
        requests=found.at("parameters", id="").number("requests", "requests", label="requests at each rate"),
        repeats=str(found.value("parameters", "repeats")),
    )


def _field(found: JsonResult, metric: str) -> Field:
    declared = found.value("definitions", metric)
    return Field(declared.get("title") or title_of(metric), declared["unit"], ("metrics", metric))


def _latency_table(found: JsonResult, rates: Rates) -> Block:
    rows = (
        (rate, title_of(name), *(part.cell(_field(found, f"{name}_p{percent}")) for percent in _PERCENTS))
        for rate, part in rates.items()
        for name in _LATENCIES
    )
    columns = ("Rate", "Latency", *numbers(*(f"{percent}th percentile" for percent in _PERCENTS)))
    places = {
        name: found.value("definitions", f"{name}_p{_PERCENTS[0]}", "definition") for name in _LATENCIES
    }
    words = (f"{title_of(name)}: {place.rpartition(': ')[0]}." for name, place in places.items())
    return table("load-latency", " ".join(words), columns, rows)


def _throughput_table(found: JsonResult, rates: Rates) -> list[Block]:
    fields = [_field(found, name) for name in _THROUGHPUTS]
    rows = (((rate,), part) for rate, part in rates.items())
    caption = (
        "Throughput counts completed requests, from the first request sent to the last chunk. The steady "
        "state leaves out the first and the last quarter of the arrivals."
    )
    given = found.at("parameters", id="")
    limits = {
        name: given.number("s", f"limit_{name}", label=f"limit of {title_of(name)}")
        for name in ("ttft", "tpot", "e2e")
    }
    goodput = text(
        "Goodput counts the requests that meet all limits: TTFT ≤ {ttft}, TPOT ≤ {tpot} and E2E ≤ {e2e}.",
        **limits,
    )
    return [grid("load-throughput", caption, ("Rate",), rows, fields), goodput]


def _loads(found: JsonResult) -> list[Text]:
    """How busy the machine was."""
    loads = [run[when] for run in found.value("runs") for when in ("load_before", "load_after")]
    sentence = (
        "The load of the machine was between {low} and {high} processes that ran or waited, server and "
        "client included. Other jobs make latencies longer."
    )
    return [text(sentence, low=f"{min(loads):.1f}", high=f"{max(loads):.1f}")] if loads else []


def _hit_table(found: JsonResult, rates: Rates) -> Block:
    fields = [Field(title, "tokens", ("hit_tokens", name)) for name, title in _PREDICTIONS.items()]
    counters = ("measured", "reported_to_clients")
    rows = (
        (
            rate,
            *(", ".join(f"{hits:,}" for hits in part.value("hit_tokens", key)) for key in counters),
            *(part.cell(field) for field in fields),
        )
        for rate, part in rates.items()
    )
    counted = numbers("Server's counter, each repeat", "Reported to clients, each repeat", varies=True)
    columns = ("Rate", *counted, *numbers(*_PREDICTIONS.values()))
    caption = text(
        "Prompt tokens found in the prefix cache. Measured: how much {counter} grows during each replay, and "
        "the sum over the answers to the clients. Predicted, for the same requests and block size: three "
        "ways.",
        counter=Code("vllm:prefix_cache_hits_total"),
    )
    return table("load-hits", caption, columns, rows, found.file)


def _errors(found: JsonResult) -> list[Block]:
    rows = [
        (f"{run['rate']:g}/s", str(run["repeat"]), Code(words), str(count))
        for run in found.value("runs")
        for words, count in (*run["errors"].items(), *([(run["problem"], "all")] if run["problem"] else ()))
    ]
    status = found.get("server_exit_status")
    end = "" if status is None else f" The server ended by itself, with status {status}."
    if not rows:
        return [text(f"There were no errors: every request of every replay was answered in full.{end}")]
    columns = ("Rate", "Repeat", "Error", *numbers("Requests"))
    return [table("load-errors", f"Every error, with its own words.{end}", columns, rows, found.file)]


def _answer(found: JsonResult, rates: Rates) -> Text:
    turn, parts = found.value("turn"), list(rates.values())
    rate, ttft = Field("Rate", "requests/s", ("rate",)), _field(found, "ttft_p50")
    factor = f"{turn['factor']:g}"
    if turn["first_rate_after"] is None:
        return text(
            "It does not turn up at the rates that were tried: up to {rate} the median TTFT stays below "
            "{factor} times its value at the lowest rate.",
            rate=parts[-1].cell(rate),
            factor=factor,
        )
    if turn["last_rate_before"] is None:
        return text("Already at {rate}, because requests failed there.", rate=parts[0].cell(rate))
    after = [part.value("rate") for part in parts].index(turn["first_rate_after"])
    return text(
        "Between {before} and {after}. The median TTFT rises from {low} to {high} there. Latency counts as "
        "turned up if the median TTFT exceeds {factor} times its value at the lowest rate ({base}), or if "
        "requests fail.",
        before=parts[after - 1].cell(rate),
        after=parts[after].cell(rate),
        low=parts[after - 1].cell(ttft),
        high=parts[after].cell(ttft),
        base=parts[0].cell(ttft),
        factor=factor,
    )
