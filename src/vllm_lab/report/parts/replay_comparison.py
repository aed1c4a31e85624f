"""How far a version of mini-vLLM decides as vLLM's scheduler does: from replay/comparison.json, in words."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from vllm_lab.common.metric import title_of
from vllm_lab.replay.comparison import METRICS as APART
from vllm_lab.replay.metrics import METRICS
from vllm_lab.replay.records import ORACLES
from vllm_lab.report.blocks import Block, Code, Heading, Note, Number, Text, joined, text
from vllm_lab.report.measured import ran
from vllm_lab.report.parts.traces import trace_label
from vllm_lab.report.results import Field, JsonResult, Results, derived, grid

Place = tuple[str, str]  # trace, memory
VLLM = dict(zip(ORACLES, ("vLLM without prefix cache", "vLLM with prefix cache"), strict=True))
_FILE = "replay/comparison.json"
_EQUAL = Field("Steps equal to vLLM's", "steps", ("equal_steps",))
_DIFFERING = Field("Steps that differ", "steps", ("differing_steps",))
_FIRST = Field("First step that differs", "step", ("first_difference", "step"))
_REQUESTS = Field("Requests that differ", "requests", ("differing_requests",))
_EXACTNESS = (
    "Each step and each request, compared byte by byte. Versions with a prefix cache are compared with "
    "vLLM with its prefix cache, the others with vLLM without."
)
_APART = (
    "How far the metrics of the versions that differ are from vLLM's, relative to vLLM's. The means of a "
    "version that ended early are over the requests that had finished."
)
_DIVERGENCE = (
    "Steps, compared by number, that differ from vLLM's. Steps that a version never reached count as "
    "different."
)


def engine_title(engine: str) -> str:
    """An engine as tables name it; an engine that no table knows keeps its name."""
    return VLLM.get(engine, engine)


def metric_field(name: str, *keys: str) -> Field:
    """A metric of a replay; `keys` lead to its value where that is not the metric itself."""
    metric = METRICS[name]
    return Field(title_of(name, metric), metric.unit, ("metrics", name, *keys))


def where(place: Place) -> str:
    """Trace and memory in words."""
    return f"{trace_label(place[0])}, {place[1]} memory"


def place_of(run: JsonResult) -> Place:
    """Trace and memory of a run of the comparison."""
    return run.value("trace"), run.value("memory")


def compared_runs(results: Results) -> list[JsonResult]:
    """The runs of the comparison in its order; no run where nothing was compared."""
    named = []
    for run in results.json(_FILE).each("runs") if results.has(_FILE) else ():
        version, place = run.value("version"), place_of(run)
        named.append(run.named(".".join(("replay.compared", version, *place)), f"{where(place)}, {version}"))
    return named


def comparison_blocks(results: Results, runs: Sequence[JsonResult]) -> list[Block]:
    """Tables and words on all runs; nothing where nothing was compared."""
    if not runs:
        return []
    finished = [run for run in runs if ran(run)]
    reasons = sorted({run.value("reason") for run in runs if not ran(run)})
    return [
        *(Note(Text((f"vLLM's scheduler did not run: {reason}.",))) for reason in reasons),
        Heading("Are the decisions the same?", "replay-decisions"),
        _table("exactness", _EXACTNESS, runs, (_EQUAL, _DIFFERING, _FIRST, _REQUESTS)),
        *results.figure("replay/figures/divergence", _DIVERGENCE),
        *_ends(finished),
        *_first_differences(finished),
        *_apart(finished),
    ]


def _table(id: str, caption: str, runs: Sequence[JsonResult], fields: Sequence[Field]) -> Block:
    rows = (((where(place_of(run)), run.value("version")), run) for run in runs)
    return grid(id, caption, ("Trace, memory", "Version"), rows, fields)


def _apart(finished: Sequence[JsonResult]) -> list[Block]:
    """How far the metrics differ where decisions do; nothing where no replay differs."""
    apart = [run for run in finished if not run.value("equal")]
    relative = (metric_field(name, "relative_difference") for name in APART)
    fields = [field._replace(unit="fraction") for field in relative]
    return [_table("apart", _APART, apart, fields)] if apart else []


def _ends(finished: Sequence[JsonResult]) -> Iterator[Block]:
    crashed = [run for run in finished if run.value("crash")]
    if crashed:
        yield Heading("Where a version ends", level=4)
    for run in crashed:
        yield ending(run)


def _first_differences(finished: Sequence[JsonResult]) -> Iterator[Block]:
    """The runs with a first different step on both sides; the end of a version is described before."""
    parted = [run for run in finished if run.get("first_difference", "mini")]
    if parted:
        yield Heading("Where the other versions first differ from vLLM", level=4)
    for run in parted:
        yield text(
            "{version}, {where}: all decisions are equal before step {step}. In this step {difference}.",
            version=run.value("version"),
            where=where(place_of(run)),
            step=run.cell(_FIRST),
            difference=_difference(run),
        )


def coincidence(runs: Sequence[JsonResult]) -> Iterator[Text]:
    """How often the exact versions and vLLM decide the same in the replay that the figure shows."""
    for run in runs:
        if ran(run) and place_of(run) == ("multi_turn", "scarce") and run.value("equal"):
            yield text(
                " {version} and {against}: {equal} equal steps, {differing} different ones.",
                version=run.value("version"),
                against=engine_title(run.value("against")),
                equal=run.cell(_EQUAL),
                differing=run.cell(_DIFFERING),
            )


def agreement(runs: Sequence[JsonResult]) -> Text:
    """One version over all its replays that ran."""
    version, against = runs[0].value("version"), engine_title(runs[0].value("against"))

    def total(field: Field) -> Number:
        (key,) = field.keys
        return derived(
            f"replay.compared.{version}.{key}",
            sum(run.value(key) for run in runs),
            field.unit,
            f"sum of {key} over {len(runs)} replays",
            runs[0].cell(field),
            label=f"{version}, all replays: {field.title[0].lower()}{field.title[1:]}",
        )

    same = "{version} does: all {equal} steps and the times of every request are equal to those of {against}."
    other = (
        "{version} does not: {equal} steps are equal to those of {against}, {differing} steps differ, and so "
        "do {requests} requests."
    )
    values = {"version": version, "against": against, "equal": total(_EQUAL)}
    if all(run.value("equal") for run in runs):
        return text(same, **values)
    return text(other, **values, differing=total(_DIFFERING), requests=total(_REQUESTS))


def ending(run: JsonResult) -> Text:
    """The step, the time and the reason of a version's end, what had finished, and what vLLM does there."""
    return text(
        "{place}: {version} ends in step {step}, at {time}: {reason}. {finished} requests had finished. "
        "{instead}",
        place=where(place_of(run)),
        version=run.value("version"),
        step=run.number("step", "crash", "step", label="step in which it ended"),
        time=run.number("s", "crash", "time", label="time at which it ended"),
        reason=Code(run.value("crash", "reason")),
        finished=run.number("requests", "crash", "finished", label="requests finished when it ended"),
        instead=_instead(run),
    )


def _instead(run: JsonResult) -> Text:
    """What vLLM does in the step in which the version ends, if the two agree up to there."""
    step = _step(run, "crash", "vllm")
    if step is None or run.value("first_difference", "step") < run.value("crash", "step"):
        sentence = "vLLM's run differed before that: the first different step is {first}."
        return text(sentence, first=run.cell(_FIRST))
    return text(
        "vLLM's steps are the same up to there. In this step it preempts {preempted}, continues with the "
        "others and has {free} free blocks at the end of the step.",
        preempted=_names(step["preempted"]),
        free=_free_blocks(run, "crash", "vllm", label="vLLM's free blocks after it"),
    )


def _difference(run: JsonResult) -> Text:
    """Both sides of the first step that differs, in words."""
    version = run.value("version")
    vllm, mini = (_step(run, "first_difference", side) for side in ("vllm", "mini"))
    if vllm is None or mini is None:
        return Text((f"vLLM has no step any more, while {version} has one",))
    clauses: list[Text] = []
    for field, verb in (("preempted", "preempts"), ("finished", "finishes"), ("evicted", "evicts")):
        if vllm[field] != mini[field]:
            names = {"one": _names(vllm[field]), "other": _names(mini[field])}
            clauses.append(text("vLLM {verb} {one}, {version} {other}", verb=verb, version=version, **names))
    clauses += _scheduled(vllm["scheduled"], mini["scheduled"], version)
    if vllm["free_blocks"] != mini["free_blocks"]:
        left, right = (
            _free_blocks(run, "first_difference", side, label=f"{who} free blocks after it")
            for side, who in (("vllm", "vLLM's"), ("mini", "its"))
        )
        sentence = "afterwards vLLM has {left} free blocks, {version} {right}"
        clauses.append(text(sentence, left=left, version=version, right=right))
    return joined("; ", clauses or ["the two do the same at different times"])


def _scheduled(vllm: Mapping[str, int], mini: Mapping[str, int], version: str) -> Iterator[Text]:
    """The requests that only one side runs, or that get another number of tokens, or another order."""
    uneven = [name for name in vllm if name in mini and vllm[name] != mini[name]]
    for start, names in (
        ("only vLLM schedules ", [name for name in vllm if name not in mini]),
        (f"only {version} schedules ", [name for name in mini if name not in vllm]),
        ("the numbers of tokens differ for ", uneven),
    ):
        if names:
            yield joined("", (start, _names(names)))
    if not uneven and vllm.keys() == mini.keys() and list(vllm) != list(mini):
        yield Text(("the same requests are scheduled in another order",))


def _names(names: Sequence[str], most: int = 3) -> Text:
    """Requests or blocks by name: "nothing" for none, the first few and a count for many."""
    if not names:
        return Text(("nothing",))
    shown, more = joined(", ", map(Code, names[:most])), len(names) - most
    return text("{shown} and {more} more", shown=shown, more=str(more)) if more > 0 else shown


def _step(run: JsonResult, *keys: str) -> dict[str, Any] | None:
    """A side's step. Steps are lines of JSON Lines, because as JSON objects they would lose their order."""
    line = run.get(*keys)
    return None if line is None else json.loads(line)


def _free_blocks(run: JsonResult, *keys: str, label: str) -> Number:
    """The free blocks at the end of a side's step."""
    line = run.number("blocks", *keys, label=label)
    value = json.loads(line.value)["free_blocks"]
    return replace(line, id=f"{line.id}.free_blocks", value=value, key=f"{line.key}.free_blocks")
