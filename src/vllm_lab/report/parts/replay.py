"""Replays in virtual time, and how far each version of mini-vLLM decides as vLLM does."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from mini_vllm.tools.versions import VERSIONS
from vllm_lab.report import blocks
from vllm_lab.report.blocks import Block, Code, Heading, Number, Text, joined, numbers, table, text
from vllm_lab.report.measured import ran
from vllm_lab.report.parts import replay_comparison as comparison
from vllm_lab.report.parts.sharing_sweeps import Curve, swept
from vllm_lab.report.parts.traces import OWN, ordered
from vllm_lab.report.results import JsonResult, Results, in_order

_SHOWN = (
    "finished", "refused", "crash_step", "preemptions", "preempted_requests", "hit_rate", "evictions",
    "recomputed_tokens", "ttft_mean", "ttft_p99", "tpot_mean", "tpot_p99", "e2e_mean", "e2e_p99", "makespan",
    "output_throughput", "steps",
)  # fmt: skip
_FIGURES = {
    "latency_histograms": "Multi-turn trace, scarce memory: requests by latency, with the same bins for all "
    "engines. Where two engines agree, the narrower outline is on the wider one. A version that ended early "
    "shows what finished before its end.",
    "running_waiting_blocks": "Multi-turn trace: requests that run (scheduled in a step), requests that wait "
    "(arrived, not finished, not refused and not scheduled in the step, so preempted ones too), and blocks "
    "that are not free at the end of a step. Means over windows of time. Where two engines agree, the "
    "narrower line is on the wider one.",
    "hit_rate_over_time": "Multi-turn trace: prompt tokens found in the prefix cache at first admission, by "
    "arrival, for all requests so far and for the requests of each window.",
}
# The engines in the order of their columns: each vLLM after the versions that it is compared with.
_ENGINES = [
    engine
    for vllm, caches in zip(comparison.VLLM, (False, True), strict=True)
    for engine in (*(name for name, version in VERSIONS.items() if version.caches == caches), vllm)
]
Replays = Mapping[comparison.Place, Mapping[str, JsonResult]]  # engine -> its replay


def build(results: Results) -> blocks.Section | None:
    """The section; None where nothing was replayed."""
    replays, imported = _replays(results)
    compared = comparison.compared_runs(results)
    if not replays and not compared and not imported:
        return None
    shown = [*_setting(replays), *comparison.comparison_blocks(results, compared)]
    if replays:
        shown.append(Heading("What follows from the decisions", "replay-metrics"))
        shown += [_metrics_table(place, engines) for place, engines in replays.items()]
    for name, caption in _FIGURES.items():
        more = comparison.coincidence(compared) if name == "latency_histograms" else ()
        shown += results.figure(f"replay/figures/{name}", caption, *more)
    shown += _imported_blocks(results, imported)
    title = "Replay: mini-vLLM compared with vLLM's scheduler"
    return blocks.section("replay", title, shown, _answers(replays, compared))


def _replays(results: Results) -> tuple[Replays, list[JsonResult]]:
    """This project's traces, ample memory before scarce, and the replays of imported traces."""
    found: dict[comparison.Place, dict[str, JsonResult]] = {}
    for name in (*results.names("replay/*.*.*.json"), *results.names("oracle/*.*.*.json")):
        engine, trace, memory, _ = name.partition("/")[2].split(".")
        label = f"{comparison.where((trace, memory))}, {comparison.engine_title(engine)}"
        replay = results.json(name, f"replay.{engine}.{trace}.{memory}", label)
        found.setdefault((trace, memory), {})[engine] = replay
    own: Replays = {}
    imported: list[JsonResult] = []
    traces = ordered({trace for trace, _ in found})
    for place in sorted(found, key=lambda place: (traces.index(place[0]), place[1])):
        engines = {name: found[place][name] for name in in_order(found[place], _ENGINES)}
        if place[0] in OWN:
            own[place] = engines
        else:
            imported += engines.values()
    return own, imported


def _limit(replay: JsonResult, *keys: str, unit: str, label: str) -> Number:
    """A limit of a replay with all its digits: 0.00001 s."""
    decimals = None
    if unit == "s":
        decimals = max(0, -int(Decimal(repr(replay.value("limits", *keys))).as_tuple().exponent))
    return replay.number(unit, "limits", *keys, label=label, decimals=decimals)


def _setting(replays: Replays) -> list[Block]:
    """Limits and clock, from any of the replays: all of these but the memory are the same."""
    memories = {memory: next(iter(engines.values())) for (_, memory), engines in replays.items()}
    if not memories:
        return []
    sizes = []
    for memory, replay in memories.items():
        sized = replay.named(f"replay.limits.{memory}", f"Replays with {memory} memory")
        size = _limit(sized, "num_blocks", unit="blocks", label="blocks")
        sizes.append(text("{size} blocks ({memory})", size=size, memory=memory))
    found = next(iter(memories.values())).named("replay", "Replays")
    each_request = "further duration for each request"
    limits = text(
        "All engines get the same requests, with {sizes} of {block_size} tokens. One of these is vLLM's null "
        "block. At most {seqs} requests run at once, and a step has at most {tokens} tokens. The policy is "
        "{policy}. A step lasts {base}, plus {per_token} for each of its tokens and {per_request} for each "
        "of its requests. Time is virtual and no model runs. vLLM's side is its own scheduler and KV cache "
        "manager.",
        sizes=joined(" or ", sizes),
        block_size=_limit(found, "block_size", unit="tokens", label="tokens in a block"),
        seqs=_limit(found, "max_num_seqs", unit="requests", label="requests that run at once, at most"),
        tokens=_limit(found, "max_num_batched_tokens", unit="tokens", label="tokens in a step, at most"),
        policy=Code(found.value("limits", "policy")),
        base=_limit(found, "clock", "base", unit="s", label="duration of any step"),
        per_token=_limit(found, "clock", "per_token", unit="s", label="further duration for each token"),
        per_request=_limit(found, "clock", "per_request", unit="s", label=each_request),
    )
    guesses = ", ".join(name for name, version in VERSIONS.items() if not version.exact)
    caching = {name: "with" if v.caches else "without" for name, v in VERSIONS.items() if v.exact}
    exact = " and ".join(f"{name} ({which} prefix caching)" for name, which in caching.items())
    claim = (
        f"{exact} must take every decision of vLLM's scheduler: what each step schedules and in which order, "
        "what it preempts, finishes and evicts, and how many blocks are free after it. The other versions "
        f"({guesses}) are a learner's guesses, and their differences are counted here."
    )
    return [limits, Text((claim,))]


def _metrics_table(place: comparison.Place, engines: Mapping[str, JsonResult]) -> Block:
    """One column per engine, one row per metric that is not zero or undefined for all engines."""
    rows = []
    for field in map(comparison.metric_field, _SHOWN):
        if any(replay.get(*field.keys) for replay in engines.values()):
            # An engine that did not run gives its reason in the first row only.
            cells = (r.cell(field) if ran(r) or not rows else "not run" for r in engines.values())
            rows.append((field.title, *cells))
    columns = ("Metric", *numbers(*map(comparison.engine_title, engines)))
    caption = f"{comparison.where(place)}. All times are virtual."
    return table(f"replay-{place[0]}-{place[1]}", caption, columns, rows)


def _imported_blocks(results: Results, imported: Sequence[JsonResult]) -> list[Block]:
    """The hit rate of an engine, and of the sweep's lru with a cache of the same size."""
    if not imported:
        return []
    lru = {curve.trace: curve for curve in swept(results) if curve.policy == "lru"}
    metrics = ("hit_rate", "preemptions", "ttft_mean", "makespan")
    fields = [comparison.metric_field(name) for name in metrics]
    rows = []
    for replay in imported:
        _, engine, trace, memory = replay.id.split(".")
        names = (comparison.where((trace, memory)), comparison.engine_title(engine))
        size = _limit(replay, "num_blocks", unit="blocks", label="blocks, the null block included")
        cells = (replay.cell(field) for field in fields)
        rows.append((*names, size, _swept_rate(replay, lru.get(trace)), *cells))
    titles = ("Blocks", "Found by the sweep's lru", *(field.title for field in fields))
    caption = (
        "All requests of the imported traces, replayed in virtual time with blocks of the trace's own size. "
        "The sweep's cache has as many blocks as the engine can use."
    )
    note = text(
        "The two hit rates are not expected to be equal. The sweep serves one request after another and "
        "counts the partial last block. The engine serves many requests at once, keeps outputs in the same "
        "blocks, evicts nothing that runs, and finds full blocks only."
    )
    return [
        Heading("Imported traces", "replay-imported"),
        table("imported-replays", caption, ("Trace, memory", "Engine", *numbers(*titles)), rows),
        blocks.Note(note),
    ]


def _swept_rate(replay: JsonResult, lru: Curve | None) -> blocks.Cell:
    """The sweep's rate at the engine's capacity without the null block; a dash where that was not swept."""
    tokens = (replay.value("limits", "num_blocks") - 1) * replay.value("limits", "block_size")
    return lru.rate(tokens) if lru and tokens in lru.rows else "–"


def _answers(replays: Replays, compared: Sequence[JsonResult]) -> Iterator[blocks.Answer]:
    finished = [run for run in compared if ran(run)]
    crashed = [run for run in finished if run.value("crash")]
    if crashed:
        run = crashed[-1]
        words = comparison.ending(run)
        vllm = replays.get(comparison.place_of(run), {}).get(run.value("against"))
        if vllm is not None:
            words = text(
                "{ending} It finishes {finished} requests with {preemptions} preemptions.",
                ending=words,
                finished=vllm.cell(comparison.metric_field("finished")),
                preemptions=vllm.cell(comparison.metric_field("preemptions")),
            )
        question = "Where does the naive scheduler fail, and what does vLLM do at that step?"
        yield blocks.Answer(question, (words,))
    runs: dict[str, list[JsonResult]] = {}  # of each version
    for run in finished:
        runs.setdefault(run.value("version"), []).append(run)
    if runs:
        paragraphs = tuple(map(comparison.agreement, runs.values()))
        yield blocks.Answer("Does mini-vLLM decide as vLLM's scheduler does?", paragraphs)
