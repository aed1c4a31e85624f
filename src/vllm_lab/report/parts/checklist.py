"""The benchmark plan's checklist, answered by the results themselves: from bench/{device}/*.json."""

from collections.abc import Callable, Sequence

from vllm_lab.report.blocks import Column, Section, Table, text
from vllm_lab.report.parts.plan import documents
from vllm_lab.report.results import JsonResult, Results

PAIRED = ("prefix_cache", "scheduler", "torch_compile", "cuda_graphs")
Row = tuple[bool, str]  # whether it holds, and what shows it


def build(results: Results) -> Section | None:
    """The checklist's section; None where no test was run."""
    ran = [found for found in documents(results) if found.value("status") == "measured"]
    if not ran:
        return None
    rows = tuple(
        (question, "yes" if holds else "no", evidence)
        for question, answer in CHECKLIST.items()
        for holds, evidence in [answer(ran)]
    )
    columns = (Column("The plan asks"), Column("Holds", varies=True), Column("What shows it", varies=True))
    caption = text("Computed from the documents of the tests that were run.")
    table = Table("bench-checklist", caption, columns, rows, tuple(found.file for found in ran))
    return Section("checklist", "The plan's checklist", (table,))


def _same_hardware(ran: Sequence[JsonResult]) -> Row:
    machines = {
        f"{hardware['cpu']}, {hardware['cores']} cores, {len(hardware['gpus'])} GPUs"
        for hardware in (found.value("hardware") for found in ran)
    }
    return len(machines) == 1, "; ".join(sorted(machines))


def _methods(ran: Sequence[JsonResult]) -> Row:
    metrics = [metric for found in ran for metric in found.value("results").values()]
    defined = sum(bool(metric["definition"]) for metric in metrics)
    told = sum(bool(found.value("method") and found.value("how_obtained")) for found in ran)
    evidence = f"{told} of {len(ran)} tests tell theirs, {defined} of {len(metrics)} metrics their formula"
    return (told, defined) == (len(ran), len(metrics)), evidence


def _verifiable(ran: Sequence[JsonResult]) -> Row:
    checks = [check for found in ran for check in found.value("checks")]
    holding = sum(check["holds"] for check in checks)
    failing = "".join(f"; not: {check['statement']}" for check in checks if not check["holds"])
    evidence = f"{holding} of {len(checks)} checks by another way of knowing hold{failing}"
    return bool(checks) and holding == len(checks), f"{evidence}; every run's values are kept"


def _no_outside_data(ran: Sequence[JsonResult]) -> Row:
    values = [
        (metric, result["value"], [run["values"][metric] for run in found.value("runs") if run["used"]])
        for found in ran
        for metric, result in found.value("results").items()
    ]
    own = sum(min(runs) <= value <= max(runs) for _, value, runs in values)
    return own == len(values), f"{own} of {len(values)} numbers are means of runs in their own document"


def _paired(ran: Sequence[JsonResult]) -> Row:
    paired = [found for found in ran if found.value("test_id").startswith(PAIRED)]
    runs = sum(len(found.value("runs")) for found in paired)
    both = sum(len(found.value("environments")) == 2 for found in paired)
    return both == len(paired), f"{both} tests with both sides in turns, {runs} runs with a ratio each"


def _synchronised(ran: Sequence[JsonResult]) -> Row:
    timed = [found for found in ran if {"s", "ms"} & {row["unit"] for row in found.value("results").values()}]
    clocked = sum("time.perf_counter" in found.value("how_obtained") for found in timed)
    waiting = (
        "torch.cuda.synchronize before each reading"
        if "cuda" in {found.value("device") for found in ran}
        else "the CPU's work is done when a step returns"
    )
    return clocked == len(timed), f"{clocked} of {len(timed)} timed tests by time.perf_counter; {waiting}"


def _repeated(ran: Sequence[JsonResult]) -> Row:
    found = {document.value("test_id"): document.value("verification") for document in ran}
    apart = [
        f"{name} ran once" if verdict["spread_pct"] is None else f"{name} {verdict['spread_pct']:.1f} %"
        for name, verdict in found.items()
        if not verdict["within_tolerance"]
    ]
    least = min(verdict["runs"] for verdict in found.values())
    agree = f"{len(found) - len(apart)} of {len(found)} tests within their tolerance of the mean"
    further = f"; further apart: {', '.join(apart)}" if apart else ""
    return not apart, f"at least {least} runs; {agree}{further}"


def _weights(ran: Sequence[JsonResult]) -> Row:
    given = [found.value("parameters") for found in ran]
    kinds = {f"{parameters['model']}, {parameters['weights']} weights" for parameters in given}
    return len(kinds) == 1, "; ".join(sorted(kinds))


CHECKLIST: dict[str, Callable[[Sequence[JsonResult]], Row]] = {
    "The same hardware throughout": _same_hardware,
    "The same model and weights throughout": _weights,
    "Each number has its method": _methods,
    "Independently verifiable": _verifiable,
    "No outside data": _no_outside_data,
    "Optimisations paired, off and on": _paired,
    "Synchronised timing": _synchronised,
    "Repeated until runs agree": _repeated,
}
