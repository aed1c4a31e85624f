"""A whole report: its sections in order, the jobs behind them, and the flat summary of its numbers."""

from dataclasses import dataclass, replace
from typing import Any

from vllm_lab.provenance.upstream import Jobs
from vllm_lab.report.blocks import Answer, Block, Number, Section, block_files, inlines
from vllm_lab.report.parts import SECTIONS
from vllm_lab.report.results import Results
from vllm_lab.report.status import status_section

EVALUATION = ("bench", "checklist", "serving")  # sections of the benchmark plan's own document


@dataclass(frozen=True)
class Report:
    """What is rendered. `answers` are those of all sections, in the sections' order."""

    title: str
    answers: tuple[Answer, ...]
    sections: tuple[Section, ...]
    jobs: Jobs
    results: Results


def compose(results: Results, title: str) -> Report:
    """Ask every part for its section; parts without results have none."""
    jobs = Jobs(results.documents, results.files)
    parts = [section for build in SECTIONS if (section := build(results)) is not None]
    answers = tuple(answer for section in parts for answer in section.answers)
    sections = (status_section(parts, jobs), *parts) if parts else ()
    return Report(title, answers, sections, jobs, results)


def evaluation(report: Report) -> Report:
    """The benchmark plan's part of it: the tests of real vLLM, their checklist, the server."""
    sections = tuple(section for section in report.sections if section.id in EVALUATION)
    answers = tuple(answer for section in sections for answer in section.answers)
    return replace(report, title="Evaluation of vLLM", answers=answers, sections=sections)


def numbers(report: Report) -> dict[str, Number]:
    """Every Number of the report by id, in reading order.

    Raises ValueError when one id stands for two different numbers: a mistake in a section.
    """
    found: dict[str, Number] = {}
    for section in report.sections:
        for part in inlines(section):
            if isinstance(part, Number) and found.setdefault(part.id, part) != part:
                raise ValueError(f"section {section.id}: {part.id} is two numbers: {found[part.id]}, {part}")
    return found


def summary(report: Report) -> dict[str, dict[str, Any]]:
    """id -> {value, unit, status, file, key, rule, label}, and reason where a number was not run."""
    return {number.id: _entry(number, report.jobs) for number in numbers(report).values()}


def _entry(number: Number, jobs: Jobs) -> dict[str, Any]:
    entry = {
        "value": number.value,
        "unit": number.unit,
        "status": number.status,
        "file": number.file,
        "key": number.key,
        "rule": jobs.of(number.file).document.identity["rule"],
        "label": number.label,
    }
    return {**entry, "reason": number.reason} if number.reason else entry


def sources(blocks: tuple[Block, ...], answers: tuple[Answer, ...] = ()) -> tuple[str, ...]:
    """The result files that a section's blocks and answers draw on, sorted."""
    from_answers = (
        part.file for answer in answers for text in answer.paragraphs for part in text.parts
        if isinstance(part, Number)
    )  # fmt: skip
    return tuple(sorted({*(file for block in blocks for file in block_files(block)), *from_answers}))
