"""The section that says of every part what kind of result it is and where it ran."""

from collections import Counter
from collections.abc import Sequence

from vllm_lab.common.host import machine
from vllm_lab.provenance.upstream import Job, Jobs
from vllm_lab.report.blocks import STATUSES, Cell, Column, Number, Section, Table, Text, inlines, text


def status_section(parts: Sequence[Section], jobs: Jobs) -> Section:
    """What is measured, simulated or not run, part by part, and the hardware of each part's jobs."""
    numbers = {part.id: _numbers(part) for part in parts}
    statuses = Counter(number.status for found in numbers.values() for number in found)
    rows = tuple(_row(part, numbers[part.id], jobs) for part in parts if numbers[part.id])
    table = Table(
        "status",
        text("Each part of this report, the kind of its numbers, the jobs behind it and where those ran."),
        (
            Column("Part"),
            Column("Kinds of numbers"),
            Column("Jobs"),
            Column("Ran on", varies=True),
            Column("Job time", numeric=True, varies=True),
        ),
        rows,
    )
    blocks = (_opening(statuses), table, *_not_run(numbers))
    return Section("status", "What is measured, simulated or not run", blocks)


def _numbers(part: Section) -> list[Number]:
    unique = {inline.id: inline for inline in inlines(part) if isinstance(inline, Number)}
    return list(unique.values())


def _opening(statuses: Counter[str]) -> Text:
    present = [status for status in STATUSES if statuses[status]]
    meanings = ", ".join(f"{_words(status)} ({STATUSES[status]})" for status in present)
    timing = (
        "" if statuses["measured"] else "No number here is a wall-clock measurement, and none needs a GPU."
    )
    return text(" ".join(filter(None, (f"Every number is of a stated kind: {meanings}.", timing))))


def _row(part: Section, numbers: list[Number], jobs: Jobs) -> tuple[Cell, ...]:
    counts = Counter(number.status for number in numbers)
    kinds = ", ".join(f"{counts[status]} {_words(status)}" for status in STATUSES if counts[status])
    makers = {job.number: job for job in (jobs.of(number.file) for number in numbers)}
    used = [makers[key] for key in sorted(makers)]
    seconds = sum(job.document.run["seconds"] for job in used)
    return (part.title, kinds, _job_names(used), _hardware(used), f"{seconds:.1f} s")


def _job_names(used: list[Job]) -> str:
    """Each job by its name, but many of one rule by their number."""
    by_rule: dict[str, list[Job]] = {}
    for job in used:
        by_rule.setdefault(job.document.identity["rule"], []).append(job)
    names = (
        f"{rule} ({len(jobs)} jobs)" if len(jobs) > 4 else ", ".join(job.name for job in jobs)
        for rule, jobs in by_rule.items()
    )
    return ", ".join(names)


def _hardware(used: list[Job]) -> str:
    """The distinct machines of some jobs, each told once."""
    return "; ".join(dict.fromkeys(machine(job.document.run["host"]) for job in used))


def _not_run(numbers: dict[str, list[Number]]) -> tuple[Table, ...]:
    absent = [number for found in numbers.values() for number in found if number.status == "not_run"]
    if not absent:
        return ()
    rows = tuple((number.label, number, number.reason) for number in absent)
    columns = (Column("What"), Column("State"), Column("Reason"))
    return (Table("not-run", text("What was not run, and why."), columns, rows),)


def _words(status: str) -> str:
    return status.replace("_", " ")
