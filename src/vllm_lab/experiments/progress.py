"""PROGRESS.md: what was believed, what was found, experiment by experiment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vllm_lab.common.display import escape
from vllm_lab.experiments.words import PINS, counts, expectation, label, shown, verdict

Verdicts = Mapping[str, Any]


def progress(documents: Sequence[Verdicts]) -> str:
    """Markdown from the verdict documents, in the order given."""
    return (
        "\n".join([*_overview(documents), *(line for body in documents for line in _experiment(body))]) + "\n"
    )


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
    yield from (
        "",
        "| experiment | refuted | confirmed | not run | predictions |",
        "|---|---:|---:|---:|---|",
    )
    for body in documents:
        found = body["verdicts"]
        cells = (
            escape(f"{label(body['experiment'])}: {body['title']}"),
            *(str(found[name]) for name in ("refuted", "confirmed", "not_run")),
            body["pin"]["state"],
        )
        yield f"| {' | '.join(cells)} |"


def _experiment(body: Verdicts) -> Iterator[str]:
    pin = body["pin"]
    yield from (
        "",
        f"## {escape(label(body['experiment']))}: {escape(body['title'])}",
        "",
        escape(body["question"]),
        "",
    )
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
    told = f"{found['equal_steps']:,} steps equal, {found['differing_steps']:,} differ"
    first = found["first_difference"]
    return f"{pair}: {told}{'' if first is None else f', the first is step {first:,}'}."
