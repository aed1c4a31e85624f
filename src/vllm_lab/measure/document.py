"""The result document: what a measured test of any stage writes about itself.

Every document has the same keys, listed in `document`; a stage may add its own. The common part of the
schema is `$defs/document` in workflow/schemas/document.schema.yaml.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from vllm_lab.common import console
from vllm_lab.common.errors import Unavailable
from vllm_lab.common.host import hardware
from vllm_lab.common.metric import Metric, title_of
from vllm_lab.common.statistics import Summary, verification
from vllm_lab.measure.repeats import Repeats, Run

GENERATED, SHAREGPT = "generated", "sharegpt"  # where the prompts of a test come from
PROMPTS = {
    GENERATED: "random tokens from a seeded generator",
    SHAREGPT: "short requests of randomly chosen conversations of the multi-turn ShareGPT trace; "
    "`prompt_tokens` is the longest prompt; the outputs have the trace's lengths, cut at `output_tokens`",
}


@dataclass(frozen=True, eq=False)
class Test:
    """What a test asks, what it measures and how."""

    __test__ = False  # pytest would collect a class of this name

    id: str
    name: str
    question: str  # one plain sentence that the results answer
    method: str
    how_obtained: str  # the clock, the counter or the file behind the numbers
    metrics: Mapping[str, Metric]  # a run has a value for each that it could measure
    headline: str = ""  # the metric whose spread over the runs verifies the test

    def on(self, prompts: str) -> "Test":
        """This test on one kind of PROMPTS. On generated prompts it keeps its id and its name."""
        test = replace(self, method=f"{self.method} Prompts: {PROMPTS[prompts]}.")
        if prompts == GENERATED:
            return test
        return replace(test, id=f"{self.id}_{prompts}", name=f"{self.name}, ShareGPT's prompts")


@dataclass(frozen=True)
class Check:
    """A number that is known in a second, independent way, and how far the measured one is from it."""

    kind: str  # a name for readers of the document, such as hits_by_analysis; several checks may share it
    statement: str
    expected: float | int
    found: float | int
    tolerance_pct: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether `found` is within the tolerance of `expected`."""
        return abs(self.found - self.expected) <= self.tolerance_pct / 100 * abs(self.expected)


def measured(
    test: Test,
    device: str,
    parameters: Mapping[str, Any],
    environments: Mapping[str, Any],
    runs: Sequence[Run],
    repeats: Repeats,
    **own: Any,
) -> dict[str, Any]:
    """The document of a test whose runs were repeated.

    `environments`: engine's name -> what it ran with. `own`: its checks and further keys, as in `document`.
    A metric has a result if every run that counts has a value for it.
    """
    counting = [run.values for run in runs if run.used]
    summaries = {
        name: Summary.of([values[name] for values in counting])
        for name in test.metrics
        if all(name in values for values in counting)
    }
    headline = [values[test.headline] for values in counting]
    found = {
        "environments": dict(environments),
        "runs": [
            {"run": number, "values": run.values, "raw": run.raw, "used": run.used, **asdict(run.disturbance)}
            for number, run in enumerate(runs)
        ],
        "results": results_of(test.metrics, summaries),
        "verification": verification(test.headline, headline, repeats.tolerance_pct),
    }
    return document(test, device, parameters, "measured", **now_and_here(), **found, **own)


def document(
    test: Test,
    device: str | None,
    parameters: Mapping[str, Any],
    status: str,
    checks: Iterable[Check] = (),
    **found: Any,
) -> dict[str, Any]:
    """The keys that every document has, empty where `found` does not fill them; `found` may add keys.

    `status`: measured; simulated, in virtual time; derived, computed from other files; or not_run.
    """
    return {
        "test_id": test.id,
        "test_name": test.name,
        "question": test.question,
        "test_date": None,
        "hardware": None,
        "device": device,
        "method": test.method,
        "how_obtained": test.how_obtained,
        "parameters": dict(parameters),
        "status": status,
        "reason": None,
        "environments": {},
        "runs": [],
        "results": {},
        "parts_not_run": [],
        "verification": None,
        "checks": [asdict(check) | {"holds": check.holds} for check in checks],
    } | found


def raw_document(
    device: str, parameters: Mapping[str, Any], measure: Callable[[], Mapping[str, Any]]
) -> dict[str, Any]:
    """The content of a file of raw measurements, from which `document_of` makes a result document.

    `measure` returns the measurements. Where it raises Unavailable, the content is the reason.
    """
    found: Mapping[str, Any] = {}
    reason = None
    try:
        found = measure()
    except Unavailable as missing:
        reason = str(missing)
        console.log(f"not run: {reason}")
    return {
        "status": "measured" if reason is None else "not_run",
        "reason": reason,
        **now_and_here(),
        "device": device,
        "parameters": dict(parameters),
        **found,
    }


def document_of(
    test: Test, raw: Mapping[str, Any], parameters: Mapping[str, Any] | None = None, **found: Any
) -> dict[str, Any]:
    """The result document made from raw measurements. It has their date, machine and status.

    `parameters`: in addition to those of the measurements. `found`: as in `document`.
    """
    common = {name: raw[name] for name in ("reason", "test_date", "hardware")}
    return document(
        test, raw["device"], raw["parameters"] | dict(parameters or {}), raw["status"], **common, **found
    )


def now_and_here() -> dict[str, Any]:
    """The keys of a document that say when it was written, and on which machine."""
    return {"test_date": datetime.now(UTC).isoformat(timespec="seconds"), "hardware": hardware()}


def results_of(
    metrics: Mapping[str, Metric], values: Mapping[str, Summary | float | None]
) -> dict[str, dict[str, Any]]:
    """A document's results: name -> value with unit, title, definition and, from a Summary, its spread.

    `metrics` declares every name in `values`. A value of None is left out.
    """
    found = {}
    for name, value in values.items():
        if value is not None:
            summary = value if isinstance(value, Summary) else Summary(value, None, None, None)
            found[name] = {
                "value": summary.mean,
                "unit": metrics[name].unit,
                "title": title_of(name, metrics[name]),
                "definition": metrics[name].definition,
                "interval": summary.interval,
                "cv_pct": summary.cv_pct,
                "spread_pct": summary.spread_pct,
            }
    return found
