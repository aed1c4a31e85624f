"""Predictions and what happened: from experiments/*.verdict.json and the records of the runs."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from vllm_lab.experiments.progress import DECIMALS, PINS, counts, expectation, label, verdict
from vllm_lab.report import blocks
from vllm_lab.report.blocks import Block, Code, Number, Text, numbers, table, text
from vllm_lab.report.measured import ran
from vllm_lab.report.parts.replay_comparison import metric_field
from vllm_lab.report.results import Field, JsonResult, Results, grid

_SHOWN = (
    "finished", "preemptions", "hit_rate", "recomputed_tokens", "ttft_mean", "ttft_p95", "e2e_p95",
    "makespan",
)  # fmt: skip
_VERDICTS = (
    Field("Refuted", "", ("verdicts", "refuted")),
    Field("Confirmed", "", ("verdicts", "confirmed")),
    Field("Not run", "", ("verdicts", "not_run")),
)
_PARTS = {"mini": "mini-vLLM", "vllm": "vLLM", "extension": "extension"}


def build(results: Results) -> blocks.Section | None:
    """The section; None where no experiment ran."""
    names = results.names("experiments/*.verdict.json")
    found = [results.json(name, name.removesuffix(".verdict.json").replace("/", ".")) for name in names]
    if not found:
        return None
    opening = text(
        "Each experiment states its predictions before it runs. A hash pins the predictions, and code "
        "computes the verdicts. A refuted prediction shows where the understanding was wrong, so it comes "
        "first."
    )
    shown = [opening, _overview(found), *(block for body in found for block in _experiment(results, body))]
    return blocks.section("experiments", "Experiments: predictions and verdicts", shown, _answers(found))


def _answers(found: Sequence[JsonResult]) -> list[blocks.Answer]:
    paragraphs = tuple(
        text(
            "{name} ({title}): {refuted} of {all} predictions refuted. {aha}",
            name=_name(body),
            title=body.value("title"),
            refuted=body.cell(_VERDICTS[0]),
            all=str(len(body.value("predictions"))),
            aha=body.value("aha"),
        )
        for body in found
        if body.value("aha")
    )
    question = "What does a learner get wrong about vLLM's scheduler?"
    return [blocks.Answer(question, paragraphs)] if paragraphs else []


def _overview(found: Sequence[JsonResult]) -> Block:
    rows = (((f"{_name(body)}: {body.value('title')}", body.value("pin", "state")), body) for body in found)
    labels = ("Experiment", "Predictions")
    return grid("experiment-table", "The experiments and their verdicts.", labels, rows, _VERDICTS)


def _experiment(results: Results, body: JsonResult) -> Iterator[Block]:
    pin = body.value("pin")
    yield blocks.Heading(f"{_name(body)}: {body.value('title')}", body.value("experiment"))
    yield Text((body.value("question"),))
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
        yield blocks.Note(Text((f"What was learnt: {body.value('aha')}",)))


def _predictions(body: JsonResult) -> Block:
    rows = []
    for prediction in body.each("predictions", id="{id}", label="{statement}"):
        entry = prediction.body
        statement = text("{statement} Because: {why}", statement=entry["statement"], why=entry["why"])
        expected = text("{metric} {words}", metric=Code(entry["metric"]), words=expectation(entry))
        found = (_number(prediction, what) for what in ("observed", "bound"))
        rows.append((verdict(entry["verdict"]), statement, expected, *found))
    columns = ("Verdict", "Prediction", "Expected", *numbers("Observed", "Bound"))
    caption = "What was predicted, and what happened."
    return table(f"{body.value('experiment')}-predictions", caption, columns, rows)


def _number(prediction: JsonResult, what: str) -> Number:
    """The observed value or the bound of one prediction."""
    entry = prediction.body
    if entry["verdict"] == "not_run":
        return prediction.not_run(what, id=what, unit=entry["unit"], key=what)
    decimals = DECIMALS.get(entry["unit"]) if abs(entry[what]) < 10 else None
    return prediction.number(entry["unit"], what, label=what, status=entry["status"], decimals=decimals)


def _runs(body: JsonResult) -> Block:
    """Which engine ran with which settings. The caption lists the settings that all runs share."""
    parts = {title: body.value("parts", part) for part, title in _PARTS.items()}
    runs = [(title, name, run) for title, part in parts.items() for name, run in part.items()]
    shared = set.intersection(*(set(run["settings"].items()) for _, _, run in runs))
    rows = (
        (title, Code(name), Code(run["engine"]), _settings(set(run["settings"].items()) - shared))
        for title, name, run in runs
    )
    caption = f"The runs, on the {body.value('trace')} trace. Settings of all runs: {_settings(shared)}."
    columns = ("Part", "Run", "Engine", "Further settings")
    return table(f"{body.value('experiment')}-runs", caption, columns, rows, body.file)


def _settings(settings: Iterable[tuple[str, Any]]) -> str:
    return ", ".join(f"{key} {str(value).lower()}" for key, value in sorted(settings)) or "–"


def _records(results: Results, body: JsonResult) -> dict[str, JsonResult]:
    """Run -> its record, of the runs whose records the report was given."""
    experiment = body.value("experiment")
    names = {run: f"experiments/{experiment}.{run}" for part in _PARTS for run in body.value("parts", part)}
    return {
        run: results.json(f"{name}.json", name.replace("/", "."), f"{experiment} {run}")
        for run, name in names.items()
        if results.has(f"{name}.json")
    }


def _outcomes(results: Results, body: JsonResult) -> Block:
    rows = (((Code(run),), record) for run, record in _records(results, body).items())
    fields = [metric_field(name) for name in _SHOWN]
    return grid(f"{body.value('experiment')}-outcomes", "The results of the runs.", ("Run",), rows, fields)


def _repeats(results: Results, body: JsonResult) -> Iterator[Block]:
    """The makespan of each repeat of the real runs; nothing where no run was repeated."""
    rows = []
    for run, record in _records(results, body).items():
        makespans: list[Number | str] = []
        for index, repeat in enumerate(record.each("repeats", id="")):
            makespan = repeat.number("s", "makespan", id=f"repeat{index}.makespan", label="one repeat")
            makespans += [" ", makespan] if makespans else [makespan]
        if makespans:
            same = "yes" if record.value("same_decisions") else "no"
            rows.append((Code(run), Text(tuple(makespans)), same))
    if rows:
        columns = ("Run", "Makespan of each repeat", "Same decisions")
        caption = (
            "The repeats of the real runs, each from an empty cache. The table above shows the median repeat."
        )
        yield table(f"{body.value('experiment')}-repeats", caption, columns, rows)


def _comparison(body: JsonResult, name: str) -> Iterator[Block]:
    found = body.at("comparisons", name, id=name, label=f"{body.value('experiment')} {name}")
    if not ran(found):
        yield text("{pair}: not run, {why}.", pair=Code(name), why=found.value("reason"))
        return

    def number(key: str) -> Number:
        return found.number("steps", key, label=key.replace("_", " "), status=found.value("status"))

    yield text(
        "{mini} and {vllm} compared step by step: {equal} steps are equal, {differing} differ{times}.",
        mini=Code(found.value("mini")),
        vllm=Code(found.value("vllm")),
        equal=number("equal_steps"),
        differing=number("differing_steps"),
        times="" if found.value("times_compared") else " (decisions only, because one side has real seconds)",
    )
    if found.value("diff"):
        experiment, sides = body.value("experiment"), (found.value("mini"), found.value("vllm"))
        logs = " ".join(f"results/experiments/{experiment}.{side}.events.txt" for side in sides)
        caption = text("Where the two logs first differ: {command}", command=Code(f"diff -u {logs}"))
        of_sign = dict(zip("-+", sides, strict=True))
        rows = ((of_sign.get(line[:1], "both"), Code(line[1:].strip())) for line in found.value("diff")[3:])
        yield table(f"{experiment}-{name}-diff", caption, ("Log", "Decision"), rows, body.file)


def _name(body: JsonResult) -> str:
    return label(body.value("experiment"))
