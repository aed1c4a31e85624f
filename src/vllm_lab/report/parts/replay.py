"""mini-vLLM's four versions beside vLLM's own scheduler: from mini/, oracle/ and oracle/comparison.json."""

from collections.abc import Sequence

from mini_vllm.tools.versions import VERSIONS
from vllm_lab.report import decisions
from vllm_lab.report import replay_tables as tables
from vllm_lab.report.blocks import Answer, Block, Code, Figure, Heading, Inline, Note, Section, Text, text
from vllm_lab.report.replays import ENGINES, Account, Replay, accounts, replays
from vllm_lab.report.results import Results, derived
from vllm_lab.report.trace_names import trace_label

_NOTHING = Text(())
_EXACT = tuple(name for name, version in VERSIONS.items() if version.exact)
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
    if not places and not compared:
        return None
    blocks: list[Block] = [*_setting(places), *_not_run(compared)]
    if compared:
        blocks += [
            Heading("The same decisions?"),
            tables.exactness_table(compared),
            *_figure(results, "divergence"),
        ]
        blocks += [*_crashes(compared), *_first_differences(compared)]
        apart = tables.apart_table(compared)
        blocks += [apart] if apart else []
    if places:
        blocks.append(Heading("What came of it"))
        blocks += [tables.metrics_table(*place, engines) for place, engines in places.items()]
    blocks += _figure(results, "latency_histograms", _coincidence(compared))
    blocks += [*_figure(results, "running_waiting_blocks"), *_figure(results, "hit_rate_over_time")]
    title = "Four schedulers against vLLM's own"
    return Section("scheduling", title, tuple(blocks), _answers(places, compared))


def _setting(places: dict[tuple[str, str], dict[str, Replay]]) -> list[Block]:
    """Limits and clock, told from any of the replays: all but the memory are alike."""
    memories = {memory: next(iter(engines.values())) for (_, memory), engines in places.items()}
    if not memories:
        return []
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


def _figure(results: Results, name: str, more: Text = _NOTHING) -> list[Block]:
    image = results.image(f"replay/figures/{name}")
    caption = _FIGURES[name]
    words = f"{caption} The tables of this section hold the values."
    return [Figure(name, image, Text((caption, *more.parts)), words)] if image else []


def _coincidence(compared: Sequence[Account]) -> Text:
    """How far the two outlines of the latencies' figure must be one: for v4_prefix, in the replay shown."""
    for found in compared:
        if found.ran and (found.version, *found.place) == ("v4_prefix", "multi_turn", "scarce"):
            return text(
                " v4_prefix and vLLM with prefix cache take {equal} steps alike and {differing} not.",
                equal=found.number("steps", "equal_steps", label="steps equal to vLLM's"),
                differing=found.number("steps", "differing_steps", label="steps that differ from vLLM's"),
            )
    return _NOTHING


def _answers(
    places: dict[tuple[str, str], dict[str, Replay]], compared: Sequence[Account]
) -> tuple[Answer, ...]:
    ran = [found for found in compared if found.ran]
    crashed = [found for found in ran if found.value("crash")]
    answers = []
    if crashed:
        question = "Where does the naive scheduler die, and what does vLLM do at that step?"
        answers.append(Answer(question, (_naive_answer(crashed[-1], places),)))
    if ran:
        paragraphs = tuple(_agreement(version, ran) for version in (*_EXACT, "v2_lru"))
        answers.append(Answer("Does mini-vLLM decide as vLLM's scheduler does?", paragraphs))
    return tuple(answers)


def _naive_answer(found: Account, places: dict[tuple[str, str], dict[str, Replay]]) -> Text:
    trace, memory = found.place
    start = f"On the {trace_label(trace).lower()} trace with {memory} memory "
    parts = (start, *decisions.crash(found), " ", *decisions.instead(found))
    vllm = places.get(found.place, {}).get(found.value("against"))
    if vllm is None:
        return Text(parts)
    after = text(
        " It finishes {finished} requests with {preemptions} preemptions.",
        finished=vllm.metric("finished", tables.METRICS["finished"]),
        preemptions=vllm.metric("preemptions", tables.METRICS["preemptions"]),
    )
    return Text((*parts, *after.parts))


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
