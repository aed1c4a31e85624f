"""The benchmark plan, test by test: from bench/*.json and bench/{device}/*.json."""

from vllm_lab.report.blocks import (
    Answer,
    Block,
    Code,
    Column,
    Figure,
    Heading,
    Number,
    Section,
    Table,
    Text,
    text,
)
from vllm_lab.report.results import JsonResult, Results

_QUALITY = "plan/code_quality.json"
_PLACES = {  # in the plan
    "throughput": "1.1",
    "latency": "1.2",
    "memory": "1.3",
    "prefix_cache": "2.1",
    "scheduler": "2.2",
    "cuda_graphs": "2.3",
    "torch_compile": "2.4",
    "single_device": "3.1",
    "strong_scaling": "3.2",
    "weak_scaling": "3.3",
    "code_quality": "4",
}
_CODE_METRICS = {
    "total_loc": "Lines",
    "source_loc": "With code",
    "function_count": "Functions",
    "class_count": "Classes",
    "avg_complexity": "Complexity, mean",
    "max_complexity": "Most complex",
    "lines_per_function": "Lines per function",
}


def build(results: Results) -> Section | None:
    """The benchmarks' section; None where no test has a document."""
    tests = documents(results)
    blocks = [block for test in tests for block in _test(results, test)]
    if results.has(_QUALITY):
        blocks += _code_quality(results.json(_QUALITY))
    if not blocks:
        return None
    answers = [answer for test in tests if (answer := _answer(test)) is not None]
    return Section("bench", "Benchmarks", tuple(blocks), tuple(answers))


def documents(results: Results) -> list[JsonResult]:
    """The tests of real vLLM, in the plan's order."""
    found = [results.json(name) for name in results.names("plan/*/*.json")]
    return sorted(found, key=lambda document: (_place(document), document.value("test_id")))


def _place(found: JsonResult) -> str:
    return _PLACES[found.value("test_id").removesuffix("_sharegpt")]


def _test(results: Results, found: JsonResult) -> list[Block]:
    heading = Heading(f"{_place(found)} {found.value('test_name')}")
    if found.value("status") == "not_run":
        return [heading, _not_run(found)]
    return [
        heading,
        text("{method} How obtained: {how}.", method=found.value("method"), how=found.value("how_obtained")),
        _metric_table(found),
        _verification(found),
        *_parts_not_run(found),
        *_checks(found),
        *_figure(results, found),
        _run_table(found),
    ]


def _parts_not_run(found: JsonResult) -> list[Text]:
    return [
        text("Not run: {part}, since {reason}.", part=part["part"], reason=part["reason"])
        for part in found.value("parts_not_run")
    ]


def _id(found: JsonResult) -> str:
    return f"bench.{found.value('device')}.{found.value('test_id')}"


def _not_run(found: JsonResult) -> Text:
    reason = found.value("reason")
    number = Number(
        f"{_id(found)}.status", None, "", "not_run", found.file, "status", found.value("test_name"), reason
    )
    return text("{state}: {reason}.", state=number, reason=reason)


def _result(found: JsonResult, metric: str) -> Number:
    return found.number(
        f"{_id(found)}.{metric}",
        found.value("results", metric, "unit"),
        *("results", metric, "value"),
        label=f"{found.value('test_name')}: {metric.replace('_', ' ')}",
        decimals=3 if found.value("results", metric, "unit") == "GB" else None,
    )


def _metric_table(found: JsonResult) -> Table:
    rows = tuple(
        (
            Code(metric),
            _result(found, metric),
            _interval(result["interval"]),
            _per_cent(result["cv_pct"]),
            _per_cent(result["spread_pct"]),
            result["definition"],
        )
        for metric, result in found.value("results").items()
    )
    columns = (
        Column("Metric"),
        Column("Mean", numeric=True),
        Column("95 % interval (Student's)", numeric=True, varies=True),
        Column("Coefficient of variation", numeric=True, varies=True),
        Column("Farthest from the mean", numeric=True, varies=True),
        Column("Definition"),
    )
    caption = text("Mean over the runs that count.")
    return Table(f"bench-{found.value('test_id')}", caption, columns, rows, (found.file,))


def _interval(interval: list[float] | None) -> str:
    return "–" if interval is None else f"{interval[0]:.4g} to {interval[1]:.4g}"


def _per_cent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} %"


def _verification(found: JsonResult) -> Text:
    verification = found.value("verification")
    agree = "are" if verification["within_tolerance"] else "are not all"
    spread = verification["spread_pct"]
    if spread is None:
        return text("One run alone: nothing is verified.")
    return text(
        "{runs} of {metric} {agree} within ±{tolerance} of their mean.",
        runs=f"{verification['runs']} runs",
        metric=Code(verification["metric"]),
        agree=agree,
        tolerance=f"{verification['tolerance_pct']:g} %",
    )


def _checks(found: JsonResult) -> list[Table]:
    checks = found.value("checks")
    if not checks:
        return []
    rows = tuple(
        (
            check["statement"],
            f"{check['expected']:,.6g}",
            f"{check['found']:,.6g}",
            f"±{check['tolerance_pct']:g} %",
            "yes" if check["holds"] else "no",
        )
        for check in checks
    )
    columns = (
        Column("Check"),
        Column("Expected", numeric=True, varies=True),
        Column("Found", numeric=True, varies=True),
        Column("Tolerance", numeric=True),
        Column("Holds"),
    )
    caption = text("Verification by another way of knowing.")
    return [Table(f"bench-{found.value('test_id')}-checks", caption, columns, rows, (found.file,))]


def _figure(results: Results, found: JsonResult) -> list[Figure]:
    test = found.value("test_id")
    image = results.image(f"plan/figures/{test}")
    caption = f"{found.value('test_name')}: every run; hollow where other jobs disturbed it, lines are means."
    alt = f"{caption} The document holds the values."
    return [Figure(f"bench-{test}-runs", image, text(caption), alt)] if image else []


def _run_table(found: JsonResult) -> Table:
    metric = found.value("verification", "metric")
    rows = tuple(
        (
            str(run["run"]),
            f"{run['values'][metric]:.5g}",
            f"{run['other_cores']:.2f}",
            f"{run['load_before']:.1f} to {run['load_after']:.1f}",
            "yes" if run["used"] else "no, disturbed",
        )
        for run in found.value("runs")
    )
    columns = (
        Column("Run"),
        Column(metric, numeric=True, varies=True),
        Column("Cores others used", numeric=True, varies=True),
        Column("Load", numeric=True, varies=True),
        Column("Counts", varies=True),
    )
    caption = text("Every run. The document holds all its values.")
    return Table(f"bench-{found.value('test_id')}-run-table", caption, columns, rows, (found.file,))


def _answer(found: JsonResult) -> Answer | None:
    """The prefix cache's question; the other tests have tables alone."""
    if found.value("test_id") != "prefix_cache" or found.value("status") == "not_run":
        return None
    given = found.value("parameters")
    sentence = text(
        "Where {requests} of {count} requests share {prompt} of their prompt, vLLM finds {rate} of the "
        "prompt tokens in its cache, computes {saved} fewer and is {speedup} as fast. Its counters and our "
        "sharing analysis {agree} to the block.",
        requests=f"{given['sharing_requests'] * given['requests']:.0f}",
        count=f"{given['requests']}",
        prompt=f"{given['shared_prompt']:.0%}",
        rate=_result(found, "cache_hit_rate"),
        saved=_result(found, "compute_saved_pct"),
        speedup=_result(found, "actual_speedup_ratio"),
        agree="agree" if all(check["holds"] for check in found.value("checks")[:3]) else "do not agree",
    )
    return Answer("What does a prefix cache save on real vLLM here?", (sentence,))


def _code_quality(found: JsonResult) -> list[Block]:
    subjects = list(dict.fromkeys(name.rpartition(".")[0] for name in found.value("results")))
    rows = tuple(
        (
            Code(subject),
            *(
                found.number(
                    f"bench.code_quality.{subject}.{metric}",
                    "",
                    *("results", f"{subject}.{metric}", "value"),
                    label=f"{subject}: {title.lower()}",
                    status="derived",
                )
                if found.has("results", f"{subject}.{metric}")
                else None
                for metric, title in _CODE_METRICS.items()
            ),
        )
        for subject in subjects
    )
    columns = (Column("Code"), *(Column(title, numeric=True) for title in _CODE_METRICS.values()))
    caption = text("Counted by radon; {method}.", method=found.value("how_obtained"))
    return [
        Heading(f"{_place(found)} {found.value('test_name')}"),
        Table("bench-code-quality", caption, columns, rows),
        *_checks(found),
    ]
