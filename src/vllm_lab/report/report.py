"""A whole report: its sections in order, the jobs behind them, and the flat summary of its numbers."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vllm_lab.common.host import machine
from vllm_lab.provenance.upstream import Job, Jobs
from vllm_lab.report import blocks, measured
from vllm_lab.report.parts import PARTS
from vllm_lab.report.results import Results

METRICS_PAGE = "docs/metrics.md"  # defines every metric
EVALUATION = ("plan", "load")  # sections of vllm_evaluation.md


@dataclass(frozen=True)
class Report:
    """What is rendered. `answers` are those of all sections, in the sections' order."""

    title: str
    answers: tuple[blocks.Answer, ...]
    sections: tuple[blocks.Section, ...]
    jobs: Jobs
    results: Results


def compose(results: Results, title: str) -> Report:
    """Ask every part for its section; a part without results has none."""
    jobs = Jobs(results.documents, results.files)
    sections = [section for part in PARTS if (section := part(results)) is not None]
    sections += _other_results(results, sections)
    answers = tuple(answer for section in sections for answer in section.answers)
    whole = (_status_section(sections, jobs), *sections) if sections else ()
    return Report(title, answers, whole, jobs, results)


def _other_results(results: Results, sections: Sequence[blocks.Section]) -> list[blocks.Section]:
    """The result documents that no part shows, such as those of a stage that the report does not know."""
    used = {file for section in sections for file in blocks.files_of(section.shown)}
    shown: list[blocks.Block] = []
    for name in results.names("*.json"):
        found = results.json(name)
        if found.file not in used and found.has("test_id"):
            named = found.named(name.removesuffix(".json").replace("/", "."), measured.title(found))
            shown += [blocks.Heading(named.label), *measured.whole(results, named)]
    return [blocks.Section("other", "Other results", tuple(shown))] if shown else []


def evaluation(report: Report) -> Report:
    """The part of the report about real vLLM: the benchmark plan and the load on the server."""
    sections = tuple(section for section in report.sections if section.id in EVALUATION)
    answers = tuple(answer for section in sections for answer in section.answers)
    return replace(report, title="Evaluation of vLLM", answers=answers, sections=sections)


def all_numbers(report: Report) -> dict[str, blocks.Number]:
    """Every Number of the report by id, in reading order.

    Raises ValueError when two different numbers have one id, which is a mistake in a part.
    """
    found: dict[str, blocks.Number] = {}
    for section in report.sections:
        for number in blocks.numbers_of(section.shown):
            if (other := found.setdefault(number.id, number)) != number:
                raise ValueError(f"section {section.id}: {number.id} is two numbers: {other}, {number}")
    return found


def summary(report: Report) -> dict[str, dict[str, Any]]:
    """id -> {value, unit, status, file, key, rule, label}, and the reason where a number was not run."""
    return {
        number.id: {
            "value": number.value,
            "unit": number.unit,
            "status": number.status,
            "file": number.file,
            "key": number.key,
            "rule": report.jobs.of(number.file).document.identity["rule"],
            "label": number.label,
            **({"reason": number.reason} if number.reason else {}),
        }
        for number in all_numbers(report).values()
    }


def _status_section(sections: Sequence[blocks.Section], jobs: Jobs) -> blocks.Section:
    """The kinds of numbers of each section, the jobs behind them, and where these ran."""
    found = {section.title: list(dict.fromkeys(blocks.numbers_of(section.shown))) for section in sections}
    rows = (_status_row(title, numbers, jobs) for title, numbers in found.items() if numbers)
    varying = (*blocks.varying("Ran on"), *blocks.numbers("Job time", varies=True))
    columns = ("Section", "Kinds of numbers", "Jobs", *varying)
    caption = "Each section: the kinds of its numbers, the jobs behind them, and where these ran."
    numbers = [number for of_section in found.values() for number in of_section]
    shown = (_kinds(numbers), blocks.table("status", caption, columns, rows), *_not_run(numbers))
    return blocks.Section("status", "What is measured, simulated or not run", shown)


def _kinds(numbers: Iterable[blocks.Number]) -> blocks.Text:
    statuses = {number.status for number in numbers}
    present = [status for status in blocks.STATUSES if status in statuses]
    kinds = " ".join(f"{in_words(status).capitalize()}: {blocks.STATUSES[status]}." for status in present)
    timing = " No number here is a wall-clock measurement, and none needed a GPU."
    end = "" if "measured" in statuses else timing
    return blocks.Text((f"Every number has a stated kind. {kinds}{end}",))


def _status_row(title: str, found: list[blocks.Number], jobs: Jobs) -> tuple[blocks.Cell, ...]:
    counts = Counter(number.status for number in found)
    kinds = ", ".join(f"{counts[status]} {in_words(status)}" for status in blocks.STATUSES if counts[status])
    used = makers(jobs, (number.file for number in found))
    machines = "; ".join(dict.fromkeys(machine(job.document.run["host"]) for job in used))
    seconds = sum(job.document.run["seconds"] for job in used)
    return title, kinds, _job_names(used), machines, f"{seconds:.1f} s"


def makers(jobs: Jobs, files: Iterable[str]) -> list[Job]:
    """The jobs that made some files, by number."""
    found = {job.number: job for job in map(jobs.of, files)}
    return [found[number] for number in sorted(found)]


def _job_names(used: list[Job]) -> str:
    """Each job by its name; many jobs of one rule by their number."""
    by_rule: dict[str, list[Job]] = {}
    for job in used:
        by_rule.setdefault(job.document.identity["rule"], []).append(job)
    names = (
        f"{rule} ({len(jobs)} jobs)" if len(jobs) > 4 else ", ".join(job.name for job in jobs)
        for rule, jobs in by_rule.items()
    )
    return ", ".join(names)


def _not_run(numbers: Iterable[blocks.Number]) -> list[blocks.Table]:
    rows = [(number.label, number, number.reason) for number in numbers if number.status == "not_run"]
    columns = ("What", "State", "Reason")
    return [blocks.table("not-run", "What did not run, and why.", columns, rows)] if rows else []


def in_words(status: str) -> str:
    """A status as people write it: not run."""
    return status.replace("_", " ")
