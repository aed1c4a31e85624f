"""mini-vLLM's four versions beside vLLM's own scheduler: from mini/, oracle/ and oracle/comparison.json."""

from collections.abc import Iterable, Sequence

from vllm_lab.report import decisions
from vllm_lab.report.blocks import (
    Answer,
    Block,
    Cell,
    Code,
    Column,
    Figure,
    Heading,
    Inline,
    Note,
    Section,
    Table,
    Text,
    text,
)
from vllm_lab.report.replays import ENGINES, Account, Replay, accounts, replays
from vllm_lab.report.results import Results, derived
from vllm_lab.report.trace_names import trace_label

_METRICS = {
    "finished": "Requests finished",
    "refused": "Requests refused: larger than the memory",
    "crash_step": "Ended for want of a block in step",
    "preemptions": "Preemptions",
    "preempted_requests": "Requests preempted",
    "hit_rate": "Prompt tokens found in the cache",
    "evictions": "Cached blocks evicted",
    "recomputed_tokens": "Tokens computed again",
    "ttft_mean": "TTFT, mean",
    "ttft_p99": "TTFT, 99th percentile",
    "tpot_mean": "TPOT, mean",
    "tpot_p99": "TPOT, 99th percentile",
    "e2e_mean": "E2E, mean",
    "e2e_p99": "E2E, 99th percentile",
    "makespan": "Time 0 to the last token",
    "output_throughput": "Output tokens per second",
    "steps": "Steps",
}
_APART = {
    "ttft_mean": "TTFT, mean",
    "tpot_mean": "TPOT, mean",
    "e2e_mean": "E2E, mean",
    "preemptions": "Preemptions",
    "makespan": "Time to the last token",
}
_EXACT = ("v3_priority", "v4_prefix")
_FIGURES = {
    "latency_histograms": (
        "Multi-turn trace, scarce memory: requests by latency, on one set of bins. Where engines agree, the "
        "narrower outline lies on the wider one. v1_naive shows what finished before it ended."
    ),
    "running_waiting_blocks": (
        "Multi-turn trace: requests running (scheduled in a step), requests waiting (arrived, and neither "
        "finished nor refused nor scheduled in the step, so preempted ones too), and blocks not free at a "
        "step's end. Means over windows of time; where engines agree, the narrower line is on the wider one."
    ),
    "hit_rate_over_time": (
        "Multi-turn trace: prompt tokens found in the prefix cache at first admission, by arrival, of all "
        "requests so far and of those in each window."
    ),
    "divergence": "Steps, compared by number, that are not vLLM's. Steps that v1_naive never reached count.",
}


def build(results: Results) -> Section | None:
    """The section; None where nothing was replayed."""
    places = replays(results)
    compared = accounts(results)
    if not places:
        return None
    blocks: list[Block] = [*_setting(places), *_not_run(compared)]
    if compared:
        blocks += [Heading("The same decisions?"), _exactness(compared), *_figure(results, "divergence")]
        blocks += [*_crashes(compared), *_first_differences(compared), *_apart(compared)]
    blocks.append(Heading("What came of it"))
    blocks += [_metrics(*place, engines) for place, engines in places.items()]
    for name in ("latency_histograms", "running_waiting_blocks", "hit_rate_over_time"):
        blocks += _figure(results, name)
    title = "Four schedulers against vLLM's own"
    return Section("scheduling", title, tuple(blocks), _answers(places, compared))


def _setting(places: dict[tuple[str, str], dict[str, Replay]]) -> list[Block]:
    """Limits and clock, told from any of the replays: all but the memory are alike."""
    memories = {memory: next(iter(engines.values())) for (_, memory), engines in places.items()}
    any_one = next(iter(memories.values()))
    sizes: list[Inline] = []
    for memory, replay in memories.items():
        label = f"Blocks, {memory} memory"
        sizes += [" or " if sizes else "", replay.limit("num_blocks", unit="blocks", label=label)]
        sizes.append(f" blocks ({memory})")
    limits = text(
        " of {block_size} tokens, vLLM's null block among them; at most {seqs} requests run at once, at most "
        "{tokens} tokens in a step; policy {policy}. A step lasts {base}, and {per_token} for each of its "
        "tokens and {per_request} for each of its requests: time is virtual, no model runs, and vLLM's part "
        "is its own scheduler and KV cache manager.",
        block_size=any_one.limit("block_size", unit="tokens", label="Tokens in a block"),
        seqs=any_one.limit("max_num_seqs", unit="requests", label="Requests that run at once, at most"),
        tokens=any_one.limit("max_num_batched_tokens", unit="tokens", label="Tokens in a step, at most"),
        policy=Code(any_one.found.value("limits", "policy")),
        base=any_one.limit("clock", "base", unit="s", label="What any step lasts"),
        per_token=any_one.limit("clock", "per_token", unit="s", label="What a step lasts longer for a token"),
        per_request=any_one.limit(
            "clock", "per_request", unit="s", label="What a step lasts longer for a request"
        ),
    )
    claim = text(
        "v1_naive and v2_lru are a learner's guesses, whose differences are counted here. v3_priority claims "
        "every decision of vLLM's scheduler without, v4_prefix with prefix caching: what is scheduled in "
        "which order, preempted, finished and evicted in each step, and how many blocks are free."
    )
    return [Text(("The same requests with ", *sizes, *limits.parts)), claim]


def _not_run(compared: Sequence[Account]) -> list[Block]:
    reasons = dict.fromkeys(found.value("reason") for found in compared if not found.ran)
    return [Note(text("vLLM's scheduler was not run: {reason}.", reason=reason)) for reason in reasons]


def _exactness(compared: Sequence[Account]) -> Table:
    columns = (
        Column("Trace, memory"),
        Column("Version"),
        Column("Against"),
        Column("Steps equal", numeric=True),
        Column("Steps that differ", numeric=True),
        Column("First in step", numeric=True),
        Column("Requests that differ", numeric=True),
    )
    caption = text("Step by step and request by request, byte for byte.")
    return Table("exactness", caption, columns, tuple(_exactness_row(found) for found in compared))


def _exactness_row(found: Account) -> tuple[Cell, ...]:
    trace, memory = found.place
    head = (f"{trace_label(trace)}, {memory}", found.version, ENGINES[found.value("against")])
    if not found.ran:
        return (*head, found.not_run(), "not run", "not run", "not run")
    return (
        *head,
        found.number("steps", "equal_steps", label="steps equal to vLLM's"),
        found.number("steps", "differing_steps", label="steps that differ from vLLM's"),
        decisions.first_step(found) if found.value("first_difference") else "–",
        found.number("requests", "differing_requests", label="requests that differ from vLLM's"),
    )


def _crashes(compared: Sequence[Account]) -> list[Block]:
    crashed = [found for found in compared if found.ran and found.value("crash")]
    blocks: list[Block] = [Heading("Where v1_naive ends")] if crashed else []
    for found in crashed:
        trace, memory = found.place
        where = f"{trace_label(trace)} trace, {memory} memory: "
        blocks.append(Text((where, *decisions.crash(found), " ", *decisions.instead(found))))
    return blocks


def _first_differences(compared: Sequence[Account]) -> list[Block]:
    """Those with a step on both sides: v1's are told with its end."""
    parted = [
        found
        for found in compared
        if found.ran and found.value("first_difference") and found.step("first_difference", "mini")
    ]
    blocks: list[Block] = [Heading("Where the others first part from vLLM")] if parted else []
    for found in parted:
        trace, memory = found.place
        start = text(
            "{version}, {trace} trace, {memory} memory: all is equal up to step {step}. There ",
            version=found.version,
            trace=trace_label(trace).lower(),
            memory=memory,
            step=decisions.first_step(found),
        )
        blocks.append(Text((*start.parts, *decisions.difference(found))))
    return blocks


def _apart(compared: Sequence[Account]) -> list[Block]:
    rows = tuple(
        (
            f"{trace_label(found.place[0])}, {found.place[1]}",
            found.version,
            *(_relative(found, name, title) for name, title in _APART.items()),
        )
        for found in compared
        if found.ran and not found.value("equal")
    )
    if not rows:
        return []
    columns = (
        Column("Trace, memory"),
        Column("Version"),
        *(Column(title, numeric=True) for title in _APART.values()),
    )
    caption = text(
        "How far the metrics of those that differ are from vLLM's, relative to vLLM's. Where v1_naive ended, "
        "only what had finished is in its means."
    )
    return [Table("apart", caption, columns, rows)]


def _relative(found: Account, name: str, title: str) -> Cell:
    keys = ("metrics", name, "relative_difference")
    if found.value(*keys) is None:
        return "–"
    return found.number("fraction", *keys, label=f"{title}, (mini - vLLM) / vLLM")


def _metrics(trace: str, memory: str, engines: dict[str, Replay]) -> Table:
    """A column an engine, a row a metric; metrics that no engine has are left out."""
    rows = []
    for name, title in _METRICS.items():
        shown = [replay for replay in engines.values() if replay.ran and replay.found.has("metrics", name)]
        if any(replay.found.value("metrics", name) for replay in shown):
            rows.append((title, *_cells(name, title, engines.values(), first=not rows)))
    columns = (Column("Metric"), *(Column(ENGINES[engine], numeric=True) for engine in engines))
    caption = text(f"{trace_label(trace)} trace, {memory} memory. Times are virtual.")
    return Table(f"scheduling-{trace}-{memory}", caption, columns, tuple(rows))


def _cells(name: str, title: str, engines: Iterable[Replay], first: bool) -> list[Cell]:
    """An engine that was not run gives its reason once, in the first row."""
    return [replay.metric(name, title) if replay.ran or first else "not run" for replay in engines]


def _figure(results: Results, name: str) -> list[Block]:
    image = results.image(f"oracle/figures/{name}")
    caption = _FIGURES[name]
    words = f"{caption} The tables of this section hold the values."
    return [Figure(name, image, text(caption), words)] if image else []


def _answers(
    places: dict[tuple[str, str], dict[str, Replay]], compared: Sequence[Account]
) -> tuple[Answer, ...]:
    ran = [found for found in compared if found.ran]
    crashed = [found for found in ran if found.value("crash")]
    answers = []
    if crashed:
        last = crashed[-1]
        replay = places[last.place][last.value("against")]
        after = text(
            " It finishes {finished} requests with {preemptions} preemptions.",
            finished=replay.metric("finished", _METRICS["finished"]),
            preemptions=replay.metric("preemptions", _METRICS["preemptions"]),
        )
        trace, memory = last.place
        start = f"On the {trace_label(trace).lower()} trace with {memory} memory "
        body = Text((start, *decisions.crash(last), " ", *decisions.instead(last), *after.parts))
        question = "Where does the naive scheduler die, and what does vLLM do at that step?"
        answers.append(Answer(question, (body,)))
    if ran:
        paragraphs = tuple(_agreement(version, ran) for version in (*_EXACT, "v2_lru"))
        answers.append(Answer("Does mini-vLLM decide as vLLM's scheduler does?", paragraphs))
    return tuple(answers)


def _agreement(version: str, ran: Sequence[Account]) -> Text:
    """One version over all its replays."""
    mine = [found for found in ran if found.version == version]
    equal, differing = (
        derived(
            f"scheduling.compared.{version}.{key}",
            sum(found.value(key) for found in mine),
            "steps",
            f"sum of {key} over {len(mine)} replays",
            mine[0].number("steps", key, label=f"{words} vLLM's"),
            label=f"{version}: {words} vLLM's, all replays",
        )
        for key, words in (("equal_steps", "steps equal to"), ("differing_steps", "steps that differ from"))
    )
    requests = sum(found.value("differing_requests") for found in mine)
    against = ENGINES[mine[0].value("against")]
    if all(found.value("equal") for found in mine):
        return text(
            "{version} does: all {equal} steps and every request's times are those of {against}.",
            version=version,
            equal=equal,
            against=against,
        )
    return text(
        "{version} does not: {equal} steps are equal to those of {against}, {differing} differ, and so do "
        "{requests} requests.",
        version=version,
        equal=equal,
        against=against,
        differing=differing,
        requests=derived(
            f"scheduling.compared.{version}.differing_requests",
            requests,
            "requests",
            f"sum of differing_requests over {len(mine)} replays",
            mine[0].number("requests", "differing_requests", label="requests that differ from vLLM's"),
            label=f"{version}: requests that differ from vLLM's, all replays",
        ),
    )
