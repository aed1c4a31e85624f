"""The one renderer of result documents: of any test, of any stage, known to this report or not.

Question, titles, units and definitions come from the document. A part of the report adds only what no
document has. Documents of other versions may lack a key; then the report leaves out what the key holds.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from vllm_lab.common.metric import title_of
from vllm_lab.report.blocks import STATUSES, Block, Code, Column, Number, Text, numbers, table, text, varying
from vllm_lab.report.results import JsonResult, Results, fine_digits

_IDENTITY = ("set", "rate", "repeat", "run")  # say which run it is
_DISTURBANCE = ("other_cores", "load_before", "load_after", "short_cores", "used")
_KNOWN = (*_IDENTITY, *_DISTURBANCE)


def ran(found: JsonResult) -> bool:
    """Whether the test ran."""
    return found.get("status") != "not_run"


def title(found: JsonResult) -> str:
    """The title of the test."""
    return found.get("test_name") or found.value("test_id")


def element(found: JsonResult, name: str) -> str:
    """An element's id: of the document, and of what it shows."""
    return f"{found.id.replace('.', '-')}-{name}"


def whole(
    results: Results,
    found: JsonResult,
    stem: str = "",
    own: Callable[[JsonResult], Iterable[Block]] = lambda found: (),
) -> list[Block]:
    """The whole document. The blocks that `own` makes follow the numbers; `stem` is the figure's file."""
    if not ran(found):
        return [*opening(found), not_run(found)]
    words = "every run is a point. Other jobs disturbed the hollow ones. Lines are means."
    caption = f"{found.get('test_name')}: {words}"
    return [
        *opening(found),
        *result_table(found),
        *own(found),
        *verification(found),
        *parts_not_run(found),
        *checks(found),
        *(results.figure(stem, caption, values="The document holds the values.") if stem else ()),
        *runs(found),
        *parameters(found),
    ]


def not_run(found: JsonResult) -> Text:
    """That the test did not run, and why."""
    reason = _ended(found.value("reason"))
    return text("Status: {state}. Reason: {reason}", state=found.not_run(), reason=reason)


def opening(found: JsonResult) -> list[Text]:
    """The question that the test answers, its method, and where each number comes from."""
    sentences = (found.get("question"), found.get("method"))
    shown = [_ended(sentence) for sentence in sentences if sentence]
    if found.has("how_obtained"):
        shown.append(f"How obtained: {_ended(found.value('how_obtained'))}")
    return [Text((words,)) for words in shown]


def _ended(sentence: str) -> str:
    """The sentence with a full stop, if it has no end."""
    return sentence if sentence[-1:] in ".?!" else f"{sentence}."


def number(found: JsonResult, metric: str) -> Number:
    """The Number of one of the document's results."""
    result = found.value("results", metric)
    status = found.get("status")
    return found.number(
        result["unit"],
        *("results", metric, "value"),
        id=metric,
        label=result_title(found, metric),
        status=status if status in STATUSES else "",
        decimals=fine_digits(result["value"], result["unit"]),
    )


def result_title(found: JsonResult, metric: str) -> str:
    """The title of one of the document's results."""
    return found.get("results", metric, "title") or title_of(metric)


def result_table(found: JsonResult) -> list[Block]:
    """The results: value, interval, variation and definition. Nothing where there is no result."""
    results: Mapping[str, Any] = found.get("results") or {}
    if not results:
        return []
    repeated = any(result.get("spread_pct") is not None for result in results.values())
    rows = []
    for metric, result in results.items():
        cells = (result_title(found, metric), number(found, metric), *(_spread(result) if repeated else ()))
        rows.append((*cells, result.get("definition", "")))
    caption, values = "What was found.", numbers("Value")
    if repeated:
        spread = ("95 % interval (Student's t)", "Coefficient of variation", "Largest distance from the mean")
        caption, values = "Means over the runs that count.", numbers("Mean") + numbers(*spread, varies=True)
    return [table(element(found, "results"), caption, ("Metric", *values, "Definition"), rows, found.file)]


def _spread(result: Mapping[str, Any]) -> Sequence[str]:
    interval = result.get("interval")
    percents = (result.get(key) for key in ("cv_pct", "spread_pct"))
    return (
        "–" if interval is None else f"{interval[0]:.4g} to {interval[1]:.4g}",
        *("–" if percent is None else f"{percent:.1f} %" for percent in percents),
    )


def verification(found: JsonResult) -> list[Text]:
    """Whether the runs agree; nothing where no document says."""
    if not found.has("verification"):
        return []
    verdict = found.value("verification")
    if verdict["spread_pct"] is None:
        return [text("There was only one run, so no repeat confirms these numbers.")]
    label = "largest distance of a run from the mean"
    sentence = "{metric}: {count} {agree} within ±{tolerance} % of their mean. The farthest is {spread} off."
    return [
        text(
            sentence,
            metric=result_title(found, verdict["metric"]),
            count=f"{verdict['runs']} runs",
            agree="are" if verdict["within_tolerance"] else "are not all",
            tolerance=f"{verdict['tolerance_pct']:g}",
            spread=found.number("%", "verification", "spread_pct", id="spread", label=label),
        )
    ]


def parts_not_run(found: JsonResult) -> list[Text]:
    """The parts that did not run although the test did, with their reasons."""
    return [
        text(
            "{part}: {state}. Reason: {reason}",
            part=part.value("part"),
            state=part.not_run(part.value("part"), id="part", key="reason"),
            reason=_ended(part.value("reason")),
        )
        for part in found.each("parts_not_run")
    ]


def checks(found: JsonResult) -> list[Block]:
    """The checks of a document, each with what was expected and what was found."""
    rows = [
        (
            check["statement"],
            f"{check['expected']:,.6g}",
            f"{check['found']:,.6g}",
            f"±{check['tolerance_pct']:g} %",
            _shown(check["holds"]),
        )
        for check in found.get("checks") or ()
    ]
    columns = ("Check", *numbers("Expected", "Found", varies=True), *numbers("Tolerance"), "Holds")
    caption = "Checks: the same quantity, computed in an independent way."
    return [table(element(found, "checks"), caption, columns, rows, found.file)] if rows else []


def runs(found: JsonResult) -> list[Block]:
    """Every run: its headline value, its own facts, and how much other jobs disturbed it."""
    given: Sequence[Mapping[str, Any]] = found.get("runs") or ()
    if not given:
        return []
    headline = found.get("verification", "metric")
    facts = [key for key in given[0] if all(isinstance(run.get(key), (str, int, float)) for run in given)]
    cells: dict[Column, Sequence[str]] = {}
    for key in (*(key for key in _IDENTITY if key in facts), *(key for key in facts if key not in _KNOWN)):
        value = given[0][key]
        varies = key not in _IDENTITY and isinstance(value, float)
        column = Column(title_of(key), numeric=not isinstance(value, str), varies=varies)
        cells[column] = [_shown(run[key]) for run in given]
    if all(headline in run.get("values", ()) for run in given):
        (column,) = numbers(result_title(found, headline), varies=True)
        cells[column] = [f"{run['values'][headline]:.5g}" for run in given]
    if all(key in facts for key in _DISTURBANCE[:3]):
        columns = (*numbers("Cores that others used", "Load", varies=True), *varying("Counts"))
        cells |= zip(columns, zip(*map(_disturbance, given), strict=True), strict=True)
    caption = "Every run. A run that other jobs disturbed does not count where enough others do."
    rows = zip(*cells.values(), strict=True)
    return [table(element(found, "runs"), caption, cells, rows, found.file)]


def _disturbance(run: Mapping[str, Any]) -> tuple[str, ...]:
    load = f"{run['load_before']:.1f} to {run['load_after']:.1f}"
    return f"{run['other_cores']:.2f}", load, "yes" if run.get("used", True) else "no, disturbed"


def parameters(found: JsonResult) -> list[Text]:
    """The parameters of the test and the environments of its engines, each as one line."""
    alike: dict[str, list[str]] = {}  # what an environment lists -> the engines that have it
    for name, facts in (found.get("environments") or {}).items():
        simple = {key: value for key, value in facts.items() if not isinstance(value, list)}
        alike.setdefault(_listed(simple), []).append(name)
    lines = {"Parameters": _listed(found.get("parameters") or {})}
    lines |= {f"Environment of {', '.join(names)}": facts for facts, names in alike.items()}
    return [
        text("{title}: {facts}.", title=title, facts=Code(facts)) for title, facts in lines.items() if facts
    ]


def _listed(facts: Mapping[str, Any]) -> str:
    """The simple facts of a mapping as text; what holds further keys is left out."""
    simple = {key: value for key, value in facts.items() if not isinstance(value, dict) and value is not None}
    return ", ".join(f"{key} {_shown(value)}" for key, value in simple.items())


def _shown(value: Any) -> str:
    """A value of a document as text: floats in few digits, lists with commas."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.5g}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
