"""Predictions against what happened: from experiments/*.verdict.json and the records of the runs."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from vllm_lab.experiments.progress import DECIMALS, PINS, counts, expectation, label, verdict
from vllm_lab.replay.metrics import METRICS
from vllm_lab.report.blocks import (
    Answer,
    Block,
    Cell,
    Code,
    Column,
    Heading,
    Note,
    Number,
    Section,
    Table,
    text,
)
from vllm_lab.report.results import JsonResult, Results

SHOWN = (
    "finished",
    "preemptions",
    "hit_rate",
    "recomputed_tokens",
    "ttft_mean",
    "ttft_p95",
    "e2e_p95",
    "makespan",
)
PARTS = {"mini": "mini-vLLM", "vllm": "vLLM", "extension": "extension"}


def build(results: Results) -> Section | None:
    """The section; None where no experiment was run."""
    found = [results.json(name) for name in results.names("experiments/*.verdict.json")]
    if not found:
        return None
    blocks: list[Block] = [
        text(
            "Each experiment states what it expects before it is run; a hash pins the expectation, and the "
            "verdict is computed. A refuted prediction shows where the understanding was wrong, so it stands "
            "first."
        ),
        _overview(found),
    ]
    for body in found:
        blocks += _experiment(results, body)
    return Section("experiments", "Experiments", tuple(blocks), _answers(found))


def _answers(found: Sequence[JsonResult]) -> tuple[Answer, ...]:
    paragraphs = tuple(
        text(
            "{name} ({title}): {refuted} of {all} predictions refuted. {aha}",
            name=_name(body),
            title=body.value("title"),
            refuted=_count(body, "refuted"),
            all=str(len(body.value("predictions"))),
            aha=body.value("aha"),
        )
        for body in found
        if body.value("aha")
    )
    return (
        (Answer("What does a learner get wrong about vLLM's scheduler?", paragraphs),) if paragraphs else ()
    )


def _overview(found: Sequence[JsonResult]) -> Table:
    rows = tuple(
        (
            f"{_name(body)}: {body.value('title')}",
            *(_count(body, name) for name in ("refuted", "confirmed", "not_run")),
            body.value("pin", "state"),
        )
        for body in found
    )
    columns = (
        Column("Experiment"),
        Column("Refuted", numeric=True),
        Column("Confirmed", numeric=True),
        Column("Not run", numeric=True),
        Column("Predictions"),
    )
    return Table("experiments", text("Experiments and their verdicts."), columns, rows)


def _experiment(results: Results, body: JsonResult) -> Iterator[Block]:
    pin = body.value("pin")
    yield Heading(f"{_name(body)}: {body.value('title')}")
    yield text("{question}", question=body.value("question"))
    yield _predictions(body)
    yield text(
        "Pin {digest}: {state}. {counts}.",
        digest=Code(pin["sha256"][:12]),
        state=PINS[pin["state"]],
        counts=counts(body.value("verdicts")).capitalize(),
    )
    yield _runs(body)
    yield _outcomes(results, body)
    yield from _repeats(results, body)
    for name in body.value("comparisons"):
        yield from _comparison(body, name)
    if body.value("aha"):
        yield Note(text("Aha. {aha}", aha=body.value("aha")))


def _predictions(body: JsonResult) -> Table:
    name = body.value("experiment")
    rows = tuple(
        (
            verdict(entry["verdict"]),
            text("{statement} Because: {why}", statement=entry["statement"], why=entry["why"]),
            text("{metric} {words}", metric=Code(entry["metric"]), words=expectation(entry)),
            _number(body, index, "observed"),
            _number(body, index, "bound"),
        )
        for index, entry in enumerate(body.value("predictions"))
    )
    columns = (
        Column("Verdict"),
        Column("Prediction"),
        Column("Expected"),
        Column("Observed", numeric=True),
        Column("Bound", numeric=True),
    )
    return Table(f"{name}-predictions", text("What was predicted, and what happened."), columns, rows)


def _number(body: JsonResult, index: int, what: str) -> Number:
    """The observed value or the bound of one prediction."""
    entry = body.value("predictions", index)
    given = {
        "id": f"{body.value('experiment')}.{entry['id']}.{what}",
        "unit": entry["unit"],
        "file": body.file,
        "key": f"predictions.{index}.{what}",
        "label": f"{entry['statement']} ({what})",
    }
    if entry["verdict"] == "not_run":
        return Number(value=None, status="not_run", reason=entry["reason"], **given)
    decimals = DECIMALS.get(entry["unit"]) if abs(entry[what]) < 10 else None
    return Number(value=entry[what], status=entry["status"], decimals=decimals, **given)


def _runs(body: JsonResult) -> Table:
    """Which engine ran with which settings; those that all runs share stand in the caption."""
    name = body.value("experiment")
    runs = [
        (title, run, told) for part, title in PARTS.items() for run, told in body.value("parts", part).items()
    ]
    shared = set.intersection(*(set(told["settings"].items()) for _, _, told in runs))
    rows = tuple(
        (title, Code(run), Code(told["engine"]), _settings(set(told["settings"].items()) - shared))
        for title, run, told in runs
    )
    columns = (Column("Part"), Column("Run"), Column("Engine"), Column("Settings of its own"))
    caption = text(
        "The runs, on the {trace} trace. All: {shared}.", trace=body.value("trace"), shared=_settings(shared)
    )
    return Table(f"{name}-runs", caption, columns, rows, (body.file,))


def _outcomes(results: Results, body: JsonResult) -> Table:
    name = body.value("experiment")
    rows = tuple(
        (Code(run), *(_metric(results, name, run, metric) for metric in SHOWN))
        for part in PARTS
        for run in body.value("parts", part)
    )
    columns = (Column("Run"), *(Column(metric.replace("_", " "), numeric=True) for metric in SHOWN))
    return Table(f"{name}-outcomes", text("What the runs came to."), columns, rows)


def _repeats(results: Results, body: JsonResult) -> Iterator[Table]:
    """What repeating the real runs gave; nothing where there was none."""
    name = body.value("experiment")
    files = {run: f"experiments/{name}.{run}.json" for part in PARTS for run in body.value("parts", part)}
    records = {run: results.json(file) for run, file in files.items() if results.has(file)}
    rows = []
    for run, record in records.items():
        if record.has("repeats"):
            makespans = [
                record.number(
                    f"{name}.{run}.repeat{index}.makespan", "s", "repeats", index, "makespan",
                    label=f"{name} {run}: makespan of one repeat",
                )
                for index in range(len(record.value("repeats")))
            ]  # fmt: skip
            fields = " ".join(f"{{m{index}}}" for index in range(len(makespans)))
            cell = text(fields, **{f"m{index}": number for index, number in enumerate(makespans)})
            rows.append((Code(run), cell, "yes" if record.value("same_decisions") else "no"))
    if rows:
        columns = (Column("Run"), Column("Makespan of each repeat"), Column("Same decisions"))
        caption = text("Repeats of the real runs, each from an empty cache; the median one is told above.")
        yield Table(f"{name}-repeats", caption, columns, tuple(rows))


def _settings(settings: Iterable[tuple[str, Any]]) -> str:
    return ", ".join(f"{key} {str(value).lower()}" for key, value in sorted(settings)) or "none"


def _metric(results: Results, experiment: str, run: str, metric: str) -> Number | None:
    """None where the report was not given the run's record."""
    file = f"experiments/{experiment}.{run}.json"
    if not results.has(file):
        return None
    record = results.json(file)
    id, unit = f"{experiment}.{run}.{metric}", METRICS[metric].unit
    title = f"{experiment} {run}: {metric}, {METRICS[metric].definition}"
    if record.value("status") == "not_run":
        return Number(
            id, None, unit, "not_run", record.file, f"metrics.{metric}", title, record.value("reason")
        )
    return record.number(id, unit, "metrics", metric, label=title, status=record.value("status"))


def _comparison(body: JsonResult, name: str) -> Iterator[Block]:
    found = body.value("comparisons", name)
    experiment = body.value("experiment")
    if found["status"] == "not_run":
        yield text("{pair}: not run, {why}.", pair=Code(name), why=found["reason"])
        return

    def number(key: str, unit: str) -> Number:
        return body.number(
            f"{experiment}.{name}.{key}", unit, "comparisons", name, key, label=f"{experiment} {name}: {key}",
            status=found["status"],
        )  # fmt: skip

    yield text(
        "{mini} against {vllm}, step by step: {equal} steps equal, {differing} differ{times}.",
        mini=Code(found["mini"]),
        vllm=Code(found["vllm"]),
        equal=number("equal_steps", "steps"),
        differing=number("differing_steps", "steps"),
        times="" if found["times_compared"] else " (decisions; one side has real seconds)",
    )
    if not found["diff"]:
        return
    files = [f"results/experiments/{experiment}.{found[side]}.events.txt" for side in ("mini", "vllm")]
    yield Table(
        f"{experiment}-{name}-diff",
        text("Where the two logs part: {command}", command=Code(f"diff -u {' '.join(files)}")),
        (Column("Log"), Column("Decision")),
        tuple((_side(line, found), Code(line[1:].strip())) for line in found["diff"][3:]),
        files=(body.file,),
    )


def _side(line: str, found: dict) -> Cell:
    return {"-": found["mini"], "+": found["vllm"]}.get(line[:1], "both")


def _count(body: JsonResult, name: str) -> Number:
    experiment = body.value("experiment")
    id = f"{experiment}.verdicts.{name}"
    return body.number(id, "", "verdicts", name, label=f"{experiment}: predictions {verdict(name)}")


def _name(body: JsonResult) -> str:
    return label(body.value("experiment"))
