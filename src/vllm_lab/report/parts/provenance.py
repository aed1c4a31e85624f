"""Where results come from: bundles that were measured elsewhere, and the settings of this project.

The results of a test are shown next to each other. Of other files in a bundle the section says only which job
made them.
"""

from vllm_lab.common.files import canonical_json, flat
from vllm_lab.common.host import machine
from vllm_lab.provenance.documents import BUNDLES
from vllm_lab.report import measured
from vllm_lab.report.blocks import Block, Cell, Code, Heading, Section, numbers, section, table, text, varying
from vllm_lab.report.results import JsonResult, Results

_SETTINGS = "provenance/configuration.json"


def build(results: Results) -> Section | None:
    """The section; None where there is no bundle and no configuration."""
    merged = results.names(f"{BUNDLES}/*")
    shown: list[Block] = []
    if merged:
        shown += [Heading("Results of other machines", "bundles"), _jobs(results, merged)]
        for test, columns in _tests(results, merged).items():
            title = measured.title(columns[0])
            shown += [Heading(title, level=4), _metrics(test, columns), _parameters(test, columns)]
    if results.has(_SETTINGS):
        shown += [Heading("Settings", "settings"), _settings(results.json(_SETTINGS))]
    return section("provenance", "Provenance: bundles and settings", shown)


def _settings(found: JsonResult) -> Block:
    rows = (
        (Code(key), Code(value if isinstance(value, str) else canonical_json(value)))
        for key, value in flat(found.body).items()
    )
    caption = "The configuration of this run, with its presets applied."
    return table("settings-table", caption, ("Key", "Value"), rows, found.file)


def _tests(results: Results, merged: list[str]) -> dict[str, list[JsonResult]]:
    """Test id -> its results, this project's before those of bundles, of the tests that a bundle has."""
    rules = {results.document(name).identity["rule"] for name in merged}
    own = [name for name in results.names("*.json") if results.document(name).identity["rule"] in rules]
    tests: dict[str, list[JsonResult]] = {}
    for name in sorted({*own, *merged}, key=lambda name: (name in merged, name)):
        if name.endswith(".json"):
            found = _column(results, name)
            if found.has("test_id") and found.has("results") and found.has("parameters"):
                tests.setdefault(found.value("test_id"), []).append(found)
    files = {f"results/{name}" for name in merged}
    bundled = (test for test, columns in tests.items() if files & {column.file for column in columns})
    return {test: tests[test] for test in sorted(bundled)}


def _column(results: Results, name: str) -> JsonResult:
    """One result; its label says who measured it, and on which machine."""
    found, job = results.json(name), results.document(name)
    device = f", {found.value('device')}" if found.has("device") else ""
    id = f"provenance.{name.removesuffix('.json').replace('/', '.')}"
    return found.named(id, f"{job.bundle or 'here'}{device}: {machine(job.run['host'])}")


def _jobs(results: Results, merged: list[str]) -> Block:
    """The bundles' jobs: where and when they ran, and from which commit."""
    jobs = {results.document(name).path: results.document(name) for name in merged}
    rows = (
        (
            Code(job.bundle),
            Code(" ".join((job.identity["rule"], *job.identity["wildcards"].values()))),
            machine(job.run["host"]),
            job.run["started"][:10],
            Code(job.run["git"]["commit"][:12]) if job.run["git"] else "–",
            ", ".join(sorted(job.outputs)),
        )
        for job in jobs.values()
        if job.identity["kind"] == "measured"
    )
    columns = ("Bundle", "Job", *varying("Ran on", "Day", "Commit"), "Files")
    caption = (
        "Jobs that other machines ran. When their bundles were merged, their code, locks, inputs and "
        "settings were the same as those of this project. Their numbers have columns of their own here, and "
        "are in no other table or figure."
    )
    return table("bundle-jobs", caption, columns, rows, *(f"results/{name}" for name in merged))


def _metrics(test: str, columns: list[JsonResult]) -> Block:
    metrics = dict.fromkeys(metric for column in columns for metric in column.value("results"))
    states = (c.value("status") if measured.ran(c) else c.not_run(c.value("test_id")) for c in columns)
    rows: list[tuple[Cell, ...]] = [("Status", *states)]
    for metric in metrics:
        having = [column for column in columns if column.has("results", metric)]
        cells = (measured.number(column, metric) if column in having else "–" for column in columns)
        rows.append((measured.result_title(having[0], metric), *cells))
    return _table(f"bundle-{test}", "The metrics of each result.", "Metric", rows, columns)


def _parameters(test: str, columns: list[JsonResult]) -> Block:
    """The parameters that are not the same in all columns."""
    given = [column.value("parameters") for column in columns]
    rows = [
        (Code(key), *(str(parameters.get(key, "–")) for parameters in given))
        for key in sorted({key for parameters in given for key in parameters})
        if any(parameters.get(key) != given[0].get(key) for parameters in given)
    ]
    if not rows:
        return text("All columns have the same parameters.")
    caption = "Parameters that differ. These columns do not measure the same work."
    return _table(f"bundle-{test}-parameters", caption, "Parameter", rows, columns)


def _table(
    id: str, caption: str, title: str, rows: list[tuple[Cell, ...]], columns: list[JsonResult]
) -> Block:
    heads = (title, *numbers(*(column.label for column in columns)))
    return table(id, caption, heads, rows, *(column.file for column in columns))
