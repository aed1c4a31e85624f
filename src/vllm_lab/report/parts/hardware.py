"""The same tests on other hardware: this project's results beside those of merged bundles.

Whatever follows the result schema is laid side by side, by test; of other files that came along it is told
where they come from.
"""

from dataclasses import dataclass

from vllm_lab.common.host import machine
from vllm_lab.provenance.documents import BUNDLES, Document
from vllm_lab.report.blocks import Block, Cell, Code, Column, Heading, Number, Section, Table, text
from vllm_lab.report.results import JsonResult, Results


@dataclass(frozen=True)
class Measured:
    """A test's result, and the job that measured it somewhere: a column."""

    result: JsonResult
    job: Document

    @property
    def title(self) -> str:
        """Who measured on what: a bundle's name, or "here"."""
        device = f", {self.result.value('device')}" if self.result.has("device") else ""
        return f"{self.job.bundle or 'here'}{device}: {machine(self.job.run['host'])}"

    @property
    def id(self) -> str:
        """What the ids of its numbers begin with."""
        name = self.result.file.removeprefix("results/").removesuffix(".json")
        return f"hardware.{name.replace('/', '.')}"

    def value(self, key: str) -> Cell:
        """What its result says under a key."""
        return self.result.value(key)


def build(results: Results) -> Section | None:
    """A column for each result of each test that a bundle has; None where no bundle was merged."""
    brought = results.names(f"{BUNDLES}/*")
    if not brought:
        return None
    blocks: list[Block] = [_jobs(results, brought)]
    for test, columns in _tests(results, brought).items():
        blocks += [
            Heading(columns[0].value("test_name")),
            _metrics(test, columns),
            _parameters(test, columns),
        ]
    return Section("hardware", "On other hardware", tuple(blocks))


def _tests(results: Results, brought: list[str]) -> dict[str, list[Measured]]:
    """Test id -> its results, this project's before the bundles'; tests that no bundle has are left out."""
    rules = {results.document(name).identity["rule"] for name in brought}
    own = [name for name in results.names("*.json") if results.document(name).identity["rule"] in rules]
    tests: dict[str, list[Measured]] = {}
    for name in sorted({*own, *brought}, key=lambda name: (name in brought, name)):
        found = results.json(name) if name.endswith(".json") else None
        if found and found.has("test_id") and found.has("results") and found.has("parameters"):
            tests.setdefault(found.value("test_id"), []).append(Measured(found, results.document(name)))
    return {
        test: columns
        for test, columns in sorted(tests.items())
        if any(column.job.bundle for column in columns)
    }


def _jobs(results: Results, brought: list[str]) -> Table:
    """The bundles' jobs: where and when they ran, from which commit."""
    jobs = {results.document(name).path: results.document(name) for name in brought}
    rows = tuple(
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
    columns = (
        Column("Bundle"),
        Column("Job"),
        Column("Ran on", varies=True),
        Column("Day", varies=True),
        Column("Commit", varies=True),
        Column("Files"),
    )
    caption = (
        "Jobs whose results were measured elsewhere. Their code, locks, inputs and settings were this "
        "project's when they were merged; their numbers stand in columns of their own, and in no other table "
        "or figure."
    )
    files = tuple(f"results/{name}" for name in brought)
    return Table("hardware-jobs", text(caption), columns, rows, files)


def _metrics(test: str, columns: list[Measured]) -> Table:
    metrics = dict.fromkeys(metric for column in columns for metric in column.result.value("results"))
    rows = (
        ("status", *(_status(column) for column in columns)),
        *((Code(metric), *(_metric(column, metric) for column in columns)) for metric in metrics),
    )
    caption = "The same metrics of each result, as the test defines them."
    return _table(f"hardware-{test}", caption, "Metric", rows, columns)


def _status(column: Measured) -> Cell:
    if column.value("status") != "not_run":
        return column.value("status")
    label = f"{column.value('test_name')}, {column.title}"
    reason = column.value("reason")
    return Number(f"{column.id}.status", None, "", "not_run", column.result.file, "status", label, reason)


def _metric(column: Measured, metric: str) -> Cell:
    if not column.result.has("results", metric):
        return "–"
    return column.result.number(
        f"{column.id}.{metric}",
        column.result.value("results", metric, "unit"),
        *("results", metric, "value"),
        label=f"{column.value('test_name')}, {column.title}: {metric.replace('_', ' ')}",
    )


def _parameters(test: str, columns: list[Measured]) -> Block:
    """What the columns were not asked alike."""
    given = [column.result.value("parameters") for column in columns]
    rows = tuple(
        (Code(key), *(str(parameters.get(key, "–")) for parameters in given))
        for key in sorted({key for parameters in given for key in parameters})
        if any(parameters.get(key) != given[0].get(key) for parameters in given)
    )
    if not rows:
        return text("All columns had the same parameters.")
    caption = "Parameters that differ: these columns are not the same work."
    return _table(f"hardware-{test}-parameters", caption, "Parameter", rows, columns)


def _table(
    id: str, caption: str, title: str, rows: tuple[tuple[Cell, ...], ...], columns: list[Measured]
) -> Table:
    titles = (Column(title), *(Column(column.title, numeric=True) for column in columns))
    return Table(id, text(caption), titles, rows, tuple(column.result.file for column in columns))
