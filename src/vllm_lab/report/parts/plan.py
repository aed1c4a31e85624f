"""The benchmark plan, test by test, and its checklist: from plan/*.json and plan/{device}/*.json."""

from collections.abc import Callable, Iterator, Sequence

from vllm_lab.plan.tests import find, order
from vllm_lab.report import blocks, measured
from vllm_lab.report.blocks import Block, Code, Heading, numbers, table, text, varying
from vllm_lab.report.results import JsonResult, Results

_QUALITY = "code_quality"
Row = tuple[bool, str]  # whether it holds, and what shows it


def build(results: Results) -> blocks.Section | None:
    """The tests in the plan's order, then its checklist; None where no test has a document."""
    tests = _documents(results)
    shown = [block for test in tests for block in _test(results, test)]
    counted = [test for test in tests if find(test.value("test_id")) and test.get("status") == "measured"]
    if counted:
        shown += [Heading("The checklist of the plan", "plan-checklist"), _checklist(counted)]
    answers = (answer for test in tests for answer in _prefix_cache_answer(test))
    return blocks.section("plan", "Plan: benchmarks of real vLLM", shown, answers)


def _documents(results: Results) -> list[JsonResult]:
    """Every test's document, those that the plan does not know at the end."""
    tests = []
    for found in map(results.json, results.names("plan/*.json")):
        if found.has("test_id"):
            id = ".".join(filter(None, ("plan", found.get("device"), found.value("test_id"))))
            tests.append(found.named(id, measured.title(found)))
    return sorted(tests, key=lambda test: (order(test.value("test_id")), test.id))


def _test(results: Results, found: JsonResult) -> list[Block]:
    test = find(found.value("test_id"))
    heading = Heading(" ".join(filter(None, (test and test.place, found.label))))
    if test and test.id == _QUALITY and measured.ran(found):
        return [heading, *measured.opening(found), _code_table(found), *measured.checks(found)]
    return [heading, *measured.whole(results, found, f"plan/figures/{found.value('test_id')}")]


def _code_table(found: JsonResult) -> Block:
    """One row per piece of code, one column per metric: results are named SUBJECT.METRIC."""
    places = {name: name.rpartition(".") for name in found.value("results")}
    titles = {metric: measured.result_title(found, name) for name, (_, _, metric) in places.items()}
    rows = []
    for subject in dict.fromkeys(subject for subject, _, _ in places.values()):
        names = (f"{subject}.{metric}" for metric in titles)
        cells = (measured.number(found, name) if name in places else None for name in names)
        rows.append((Code(subject), *cells))
    caption = "Size and complexity, as radon counts them."
    return table("plan-code-quality", caption, ("Code", *numbers(*titles.values())), rows)


def _prefix_cache_answer(found: JsonResult) -> Iterator[blocks.Answer]:
    """The question about the prefix cache; the other tests have tables only."""
    if found.value("test_id") != "prefix_cache" or not measured.ran(found):
        return
    given = found.value("parameters")
    hits = [c["holds"] for c in found.value("checks") if c.get("kind", "").startswith("hits_")]
    verdict = {True: "agree to the block", False: "do not agree"}[all(hits)]
    sentence = text(
        "In a workload in which {requests} of {count} requests share {prompt} of their prompt, vLLM finds "
        "{rate} of the prompt tokens in its cache, computes {saved} fewer tokens and is {speedup} as fast."
        "{agree}",
        requests=f"{given['sharing_requests'] * given['requests']:.0f}",
        count=f"{given['requests']}",
        prompt=f"{given['shared_prompt']:.0%}",
        rate=measured.number(found, "cache_hit_rate"),
        saved=measured.number(found, "compute_saved_pct"),
        speedup=measured.number(found, "actual_speedup_ratio"),
        agree=f" Its counters and the independent predictions of the hits {verdict}." if hits else "",
    )
    yield blocks.Answer("What does a prefix cache save on real vLLM here?", (sentence,))


def _checklist(counted: Sequence[JsonResult]) -> Block:
    rows = (
        (question, "yes" if holds else "no", evidence)
        for question, answer in CHECKLIST.items()
        for holds, evidence in [answer(counted)]
    )
    columns = ("The plan asks", *varying("Holds", "What shows it"))
    caption = "The rules of the plan, checked in the documents of the tests that ran."
    return table("plan-checklist-table", caption, columns, rows, *(found.file for found in counted))


def _same_hardware(counted: Sequence[JsonResult]) -> Row:
    machines = {
        f"{hardware['cpu']}, {hardware['cores']} cores, {len(hardware['gpus'])} GPUs"
        for hardware in (found.value("hardware") for found in counted)
    }
    return len(machines) == 1, "; ".join(sorted(machines))


def _same_model(counted: Sequence[JsonResult]) -> Row:
    given = [found.value("parameters") for found in counted]
    kinds = {f"{parameters['model']}, {parameters['weights']} weights" for parameters in given}
    return len(kinds) == 1, "; ".join(sorted(kinds))


def _methods(counted: Sequence[JsonResult]) -> Row:
    metrics = [metric for found in counted for metric in found.value("results").values()]
    defined = sum(bool(metric["definition"]) for metric in metrics)
    described = sum(bool(found.value("method") and found.value("how_obtained")) for found in counted)
    evidence = (
        f"{described} of {len(counted)} tests describe their method, and {defined} of {len(metrics)} metrics "
        "have a definition"
    )
    return (described, defined) == (len(counted), len(metrics)), evidence


def _verifiable(counted: Sequence[JsonResult]) -> Row:
    checks = [check for found in counted for check in found.value("checks")]
    holding = sum(check["holds"] for check in checks)
    failing = "".join(f"; this one does not: {check['statement']}" for check in checks if not check["holds"])
    evidence = f"{holding} of {len(checks)} independent checks hold{failing}"
    return bool(checks) and holding == len(checks), f"{evidence}; the values of every run are kept"


def _no_outside_data(counted: Sequence[JsonResult]) -> Row:
    values = [
        (result["value"], [run["values"][metric] for run in found.value("runs") if run["used"]])
        for found in counted
        for metric, result in found.value("results").items()
    ]
    own = sum(min(runs) <= value <= max(runs) for value, runs in values)
    return own == len(values), f"{own} of {len(values)} numbers are means of runs in their own document"


def _paired(counted: Sequence[JsonResult]) -> Row:
    tests = [(found, find(found.value("test_id"))) for found in counted]
    paired = [found for found, test in tests if test and test.paired]
    runs = sum(len(found.value("runs")) for found in paired)
    both = sum(len(found.value("environments")) == 2 for found in paired)
    evidence = (
        f"{both} of {len(paired)} such tests ran both sides in turns, with a ratio for each of {runs} runs"
    )
    return both == len(paired), evidence


def _synchronised(counted: Sequence[JsonResult]) -> Row:
    units = {found.id: {row["unit"] for row in found.value("results").values()} for found in counted}
    timed = [found for found in counted if {"s", "ms"} & units[found.id]]
    clocked = sum("time.perf_counter" in found.value("how_obtained") for found in timed)
    waiting = (
        "torch.cuda.synchronize comes before each reading"
        if "cuda" in {found.value("device") for found in counted}
        else "a step returns when the CPU has done its work"
    )
    return clocked == len(timed), f"{clocked} of {len(timed)} timed tests use time.perf_counter; {waiting}"


def _repeated(counted: Sequence[JsonResult]) -> Row:
    found = {document.value("test_id"): document.value("verification") for document in counted}
    apart = [
        f"{name} (one run)" if verdict["spread_pct"] is None else f"{name} ({verdict['spread_pct']:.1f} %)"
        for name, verdict in found.items()
        if not verdict["within_tolerance"]
    ]
    least = min(verdict["runs"] for verdict in found.values())
    agree = f"{len(found) - len(apart)} of {len(found)} tests are within their tolerance of the mean"
    further = f"; the others: {', '.join(apart)}" if apart else ""
    return not apart, f"at least {least} runs each; {agree}{further}"


CHECKLIST: dict[str, Callable[[Sequence[JsonResult]], Row]] = {
    "The same hardware throughout": _same_hardware,
    "The same model and weights throughout": _same_model,
    "Each number has its method": _methods,
    "Independently verifiable": _verifiable,
    "No outside data": _no_outside_data,
    "Optimisations paired, off and on": _paired,
    "Synchronised timing": _synchronised,
    "Repeated until runs agree": _repeated,
}
