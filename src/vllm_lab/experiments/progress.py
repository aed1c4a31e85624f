"""PROGRESS.md: what was predicted and what was found, experiment by experiment.

The report uses the same words for verdicts, expectations and pins.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vllm_lab.common.display import display, escape

Verdicts = Mapping[str, Any]
DECIMALS = {"s": 4, "x": 2}
PINS = {
    "pinned": "the predictions are those that were pinned before the run",
    "changed": "the predictions were changed after they were pinned: the verdicts prove nothing",
    "unpinned": "the predictions were never pinned: nothing shows that they are older than the run",
}


def progress(documents: Sequence[Verdicts]) -> str:
    """Markdown from the verdict documents, in the order given."""
    parts = (_overview(documents), *map(_experiment, documents))
    return "".join(f"{line}\n" for part in parts for line in part)


def _overview(documents: Sequence[Verdicts]) -> Iterator[str]:
    total: Counter[str] = Counter()
    for body in documents:
        total.update(body["verdicts"])
    yield from ("# Progress", "")
    if not documents:
        yield "No experiment yet: experiments/ holds no YAML file."
        return
    yield f"{len(documents)} experiments, {sum(total.values())} predictions: {counts(total)}."
    yield "A refuted prediction is a place where the understanding was wrong; those come first."
    yield from ("", "| experiment | refuted | confirmed | not run | predictions |")
    yield "|---|---:|---:|---:|---|"
    for body in documents:
        name, found = escape(f"{label(body['experiment'])}: {body['title']}"), body["verdicts"]
        numbers = f"{found['refuted']} | {found['confirmed']} | {found['not_run']}"
        yield f"| {name} | {numbers} | {body['pin']['state']} |"


def _experiment(body: Verdicts) -> Iterator[str]:
    pin = body["pin"]
    yield from ("", f"## {escape(label(body['experiment']))}: {escape(body['title'])}", "")
    yield from (escape(body["question"]), "")
    day = f" ({pin['day']})" if pin["day"] else ""
    yield from (f"Pin `{pin['sha256'][:12]}`{day}: {PINS[pin['state']]}.", "")
    yield from ("| verdict | prediction | expected | observed |", "|---|---|---|---:|")
    for entry in body["predictions"]:
        cells = (
            f"**{verdict(entry['verdict'])}**",
            escape(entry["statement"]),
            escape(f"{entry['metric']} {expectation(entry)}"),
            escape(_observed(entry)),
        )
        yield f"| {' | '.join(cells)} |"
    for name, found in body["comparisons"].items():
        yield from ("", f"{escape(name)}: {_comparison(found)}")
    yield from ("", f"**Aha.** {escape(body['aha'])}" if body["aha"] else "No aha yet.")


def _observed(entry: Mapping[str, Any]) -> str:
    if entry["verdict"] == "not_run":
        return entry["reason"]
    observed, bound = (shown(entry[name], entry["unit"]) for name in ("observed", "bound"))
    return f"{observed} against {bound}" if isinstance(entry["value"], str) else observed


def _comparison(found: Mapping[str, Any]) -> str:
    pair = f"{escape(found['mini'])} against {escape(found['vllm'])}"
    if found["status"] == "not_run":
        return f"{pair}: not run, {escape(found['reason'])}."
    steps = f"{found['equal_steps']:,} steps equal, {found['differing_steps']:,} differ"
    first = found["first_difference"]
    return f"{pair}: {steps}{'' if first is None else f', the first is step {first:,}'}."


def shown(value: float, unit: str) -> str:
    """A number as people read it. Short times and quotients get enough digits to show small differences."""
    return display(value, unit, DECIMALS.get(unit) if abs(value) < 10 else None)


def expectation(prediction: Mapping[str, Any]) -> str:
    """What the metric was expected to be, as text: "at most 0.1 × fcfs.ttft_p95"."""
    value, times = prediction["value"], prediction["times"]
    if not isinstance(value, str):
        value = shown(times * value, prediction["unit"])
    elif times != 1:
        value = f"{times:g} × {value}"
    if prediction["relation"] == "within":
        return f"within {100 * prediction['tolerance']:g} % of {value}"
    return f"{prediction['relation']} {value}"


def verdict(name: str) -> str:
    """The verdict as people read it."""
    return name.replace("_", " ")


def counts(verdicts: Mapping[str, int]) -> str:
    """The verdicts that occur: "2 refuted, 5 confirmed"."""
    return ", ".join(f"{count} {verdict(name)}" for name, count in verdicts.items() if count)


def label(experiment: str) -> str:
    """exp001 as EXP-001; other names as they are."""
    number = experiment.removeprefix("exp")
    return f"EXP-{number}" if number.isdigit() else experiment
