"""How far a version of mini-vLLM decides as vLLM's scheduler does: from replay/comparison.json, in words."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from vllm_lab.common.metric import title_of
from vllm_lab.replay.comparison import METRICS as APART
from vllm_lab.replay.metrics import METRICS
from vllm_lab.replay.records import ORACLES
from vllm_lab.report.blocks import Block, Cell, Code, Heading, Inline, Note, Number, Table, Text, text
from vllm_lab.report.measured import ran
from vllm_lab.report.parts.data import trace_label
from vllm_lab.report.results import Field, JsonResult, Results, derived, grid

Place = tuple[str, str]  # trace, memory
VLLM = dict(zip(ORACLES, ("vLLM without prefix cache", "vLLM with prefix cache"), strict=True))
_FILE = "replay/comparison.json"
_EXACTNESS = (
    Field("Steps equal to vLLM's", "steps", ("equal_steps",)),
    Field("Steps that differ", "steps", ("differing_steps",)),
    Field("First step that differs", "step", ("first_difference", "step")),
    Field("Requests that differ", "requests", ("differing_requests",)),
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
    if not results.has(_FILE):
        return []
    found = results.json(_FILE)
    return [
        found.at(
            *("runs", index),
            id=f"replay.compared.{run['version']}.{run['trace']}.{run['memory']}",
            label=f"{where((run['trace'], run['memory']))}, {run['version']}",
        )
        for index, run in enumerate(found.value("runs"))
    ]


def comparison_blocks(results: Results, runs: Sequence[JsonResult]) -> list[Block]:
    """Tables and words on all runs; nothing where nothing was compared."""
    if not runs:
        return []
    return [
        *_without_vllm(runs),
        Heading("Are the decisions the same?", "replay-decisions"),
        _exactness_table(runs),
        *results.figure("replay/figures/divergence", _DIVERGENCE),
        *_crashes(runs),
        *_first_differences(runs),
        *_apart_table(runs),
    ]


def _without_vllm(runs: Sequence[JsonResult]) -> list[Block]:
    """Why vLLM did not run, where it did not."""
    reasons = sorted({run.value("reason") for run in runs if not ran(run)})
    return [Note(text("vLLM's scheduler did not run: {reason}.", reason=reason)) for reason in reasons]


def _exactness_table(runs: Sequence[JsonResult]) -> Table:
    caption = (
        "Each step and each request, compared byte by byte. Versions with a prefix cache are compared with "
        "vLLM with its prefix cache, the others with vLLM without."
    )
    return grid("exactness", caption, ("Trace, memory", "Version"), _rows(runs), _EXACTNESS)


def _apart_table(runs: Sequence[JsonResult]) -> list[Table]:
    """How far the metrics differ where decisions do; nothing where no replay differs."""
    apart = [run for run in runs if ran(run) and not run.value("equal")]
    relative = (metric_field(name, "relative_difference") for name in APART)
    fields = [field._replace(unit="fraction") for field in relative]
    caption = (
        "How far the metrics of the versions that differ are from vLLM's, relative to vLLM's. The means of a "
        "version that ended early are over the requests that had finished."
    )
    labels = ("Trace, memory", "Version")
    return [grid("apart", caption, labels, _rows(apart), fields)] if apart else []


def _rows(runs: Sequence[JsonResult]) -> list[tuple[tuple[str, str], JsonResult]]:
    return [((where(place_of(run)), run.value("version")), run) for run in runs]


def _crashes(runs: Sequence[JsonResult]) -> Iterator[Block]:
    crashed = [run for run in runs if ran(run) and run.value("crash")]
    if crashed:
        yield Heading("Where a version ends", level=4)
    for run in crashed:
        yield Text(ending(run))


def _first_differences(runs: Sequence[JsonResult]) -> Iterator[Block]:
    """The runs with a first different step on both sides; the end of a version is described before."""
    parted = [run for run in runs if ran(run) and run.get("first_difference", "mini")]
    if parted:
        yield Heading("Where the other versions first differ from vLLM", level=4)
    for run in parted:
        start = text(
            "{version}, {where}: all decisions are equal before step {step}. In this step ",
            version=run.value("version"),
            where=where(place_of(run)),
            step=_first_step(run),
        )
        yield Text((*start.parts, *_difference(run)))


def coincidence(runs: Sequence[JsonResult]) -> Iterator[Text]:
    """How often the exact versions and vLLM decide the same in the replay that the figure shows."""
    for run in runs:
        if ran(run) and place_of(run) == ("multi_turn", "scarce") and run.value("equal"):
            yield text(
                " {version} and {against}: {equal} equal steps, {differing} different ones.",
                version=run.value("version"),
                against=engine_title(run.value("against")),
                equal=run.cell(_EXACTNESS[0]),
                differing=run.cell(_EXACTNESS[1]),
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

    steps, differing, _, requests = _EXACTNESS
    same = "{version} does: all {equal} steps and the times of every request are equal to those of {against}."
    other = (
        "{version} does not: {equal} steps are equal to those of {against}, {differing} steps differ, and so "
        "do {requests} requests."
    )
    values = {"version": version, "against": against, "equal": total(steps)}
    if all(run.value("equal") for run in runs):
        return text(same, **values)
    return text(other, **values, differing=total(differing), requests=total(requests))


def _first_step(run: JsonResult) -> Cell:
    """The number of the first step that differs from vLLM's."""
    return run.cell(_EXACTNESS[2])


def ending(run: JsonResult) -> tuple[Inline, ...]:
    """The step, the time and the reason of a version's end, what had finished, and what vLLM does there."""
    crash = text(
        "{place}: {version} ends in step {step}, at {time}: {reason}. {finished} requests had finished.",
        place=where(place_of(run)),
        version=run.value("version"),
        step=run.number("step", "crash", "step", label="step in which it ended"),
        time=run.number("s", "crash", "time", label="time at which it ended"),
        reason=Code(run.value("crash", "reason")),
        finished=run.number("requests", "crash", "finished", label="requests finished when it ended"),
    )
    return (*crash.parts, " ", *_instead(run))


def _instead(run: JsonResult) -> tuple[Inline, ...]:
    """What vLLM does in the step in which the version ends, if the two agree up to there."""
    step = _step(run, "crash", "vllm")
    if step is None or run.value("first_difference", "step") < run.value("crash", "step"):
        return text(
            "vLLM's run differed before that: the first different step is {first}.", first=_first_step(run)
        ).parts
    return (
        "vLLM's steps are the same up to there. In this step it preempts ",
        *_names(step["preempted"]),
        ", continues with the others and has ",
        _free_blocks(run, "crash", "vllm", label="vLLM's free blocks after it"),
        " free blocks at the end of the step.",
    )


def _difference(run: JsonResult) -> tuple[Inline, ...]:
    """Both sides of the first step that differs, in words."""
    version = run.value("version")
    vllm, mini = (_step(run, "first_difference", side) for side in ("vllm", "mini"))
    if vllm is None or mini is None:
        return (f"vLLM has no step any more, while {version} has one.",)
    clauses: list[tuple[Inline, ...]] = []
    for field, verb in (("preempted", "preempts"), ("finished", "finishes"), ("evicted", "evicts")):
        if vllm[field] != mini[field]:
            clauses.append((f"vLLM {verb} ", *_names(vllm[field]), f", {version} ", *_names(mini[field])))
    clauses += _scheduled(vllm["scheduled"], mini["scheduled"], version)
    if vllm["free_blocks"] != mini["free_blocks"]:
        left, right = (
            _free_blocks(run, "first_difference", side, label=f"{who} free blocks after it")
            for side, who in (("vllm", "vLLM's"), ("mini", "its"))
        )
        clauses.append(("afterwards vLLM has ", left, f" free blocks, {version} ", right))
    if not clauses:
        clauses.append(("the two do the same at different times",))
    joined = [part for clause in clauses for part in ("; ", *clause)]
    return (*joined[1:], ".")


def _scheduled(vllm: Mapping[str, int], mini: Mapping[str, int], version: str) -> list[tuple[Inline, ...]]:
    """The requests that only one side runs, or that get another number of tokens, or another order."""
    clauses: list[tuple[Inline, ...]] = []
    for who, one, other in (("vLLM", vllm, mini), (version, mini, vllm)):
        alone = [name for name in one if name not in other]
        if alone:
            clauses.append((f"only {who} schedules ", *_names(alone)))
    uneven = [name for name in vllm if name in mini and vllm[name] != mini[name]]
    if uneven:
        clauses.append(("the numbers of tokens differ for ", *_names(uneven)))
    if not clauses and list(vllm) != list(mini):
        clauses.append(("the same requests are scheduled in another order",))
    return clauses


def _names(names: Sequence[str], most: int = 3) -> tuple[Inline, ...]:
    """Requests or blocks by name: "nothing" for none, the first few and a count for many."""
    if not names:
        return ("nothing",)
    parts = [part for name in names[:most] for part in (", ", Code(name))][1:]
    return (*parts, f" and {len(names) - most} more") if len(names) > most else tuple(parts)


def _step(run: JsonResult, *keys: str) -> dict[str, Any] | None:
    """A side's step. Steps are lines of JSON Lines, because as JSON objects they would lose their order."""
    line = run.get(*keys)
    return None if line is None else json.loads(line)


def _free_blocks(run: JsonResult, *keys: str, label: str) -> Number:
    """The free blocks at the end of a side's step."""
    line = run.number("blocks", *keys, label=label)
    value = json.loads(line.value)["free_blocks"]
    return replace(line, id=f"{line.id}.free_blocks", value=value, key=f"{line.key}.free_blocks")
