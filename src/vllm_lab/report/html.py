"""The report as one self-contained page: styles, script and images inside it, nothing fetched."""

import base64
import hashlib
import re
from collections.abc import Iterator
from importlib.resources import files
from shlex import quote
from typing import Any

import jinja2
from markupsafe import Markup

from vllm_lab.common.host import machine
from vllm_lab.report import blocks
from vllm_lab.report.blocks import Heading, Image, Inline, Number, Section, Text, block_files
from vllm_lab.report.report import METRICS_PAGE, Report, all_numbers, sources

_TEMPLATES = files("vllm_lab.report")
_CLOSING = re.compile(r"[.,;:)]*")


def render(report: Report) -> str:
    """The page as text. The same results and documents always give the same page."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for kind in (blocks.Text, blocks.Note, blocks.Heading, blocks.Table, blocks.Figure, Number, blocks.Code):
        environment.tests[kind.__name__.lower()] = _is(kind)
    environment.filters["exact"] = exact
    environment.filters["glued"] = glued
    environment.filters["moment"] = moment
    environment.filters["shell"] = shell
    environment.filters["words"] = lambda status: status.replace("_", " ")
    environment.filters["listed"] = _listed
    script = _template("page.js.jinja").strip()
    return environment.get_template("page.html.jinja").render(
        report=report,
        count=len(all_numbers(report)),
        jobs=report.jobs,
        statuses=blocks.STATUSES,
        style=Markup(_template("style.css")),
        script=Markup(script),
        script_hash=_csp_hash(script),
        image_uri=lambda image: image_uri(report, image),
        makers=lambda block: _makers(report, block_files(block)),
        answer_makers=lambda answer: _makers(report, sources((), (answer,))),
        machine=machine,
        span=_span(report),
        metrics_page=f"../../{METRICS_PAGE}",  # from results/report/
    )


def exact(number: Number) -> str:
    """The value in full, as summary.json holds it, with its unit."""
    value = "no value" if number.value is None else str(number.value)
    return f"{value} {number.unit}".strip()


def glued(body: Text) -> Iterator[tuple[str, Inline, str]]:
    """A paragraph's parts as (opening bracket, part, punctuation) that no line may break apart.

    A number is a button, and browsers would break a line on either side of one.
    """
    ahead = [*body.parts, ""]
    before = ""
    for index, part in enumerate(body.parts):
        following = ahead[index + 1]
        if isinstance(part, Number):
            after = _CLOSING.match(following)[0] if isinstance(following, str) else ""
            yield before, part, after
            ahead[index + 1] = following[len(after) :] if after else following
            before = ""
            continue
        words = ahead[index]
        if isinstance(words, str) and isinstance(following, Number) and words.endswith("("):
            before, words = "(", words[:-1]
        yield "", words, ""


def _listed(section: Section) -> list[Heading]:
    """The subtitles that the contents list."""
    return [block for block in section.blocks if isinstance(block, Heading) and block.id]


def moment(stamp: str) -> str:
    """An ISO time in UTC as people write it: 2026-01-02 03:04:05 UTC."""
    return stamp.replace("T", " ").replace("+00:00", " UTC")


def shell(command: list[str]) -> str:
    """A command as one can paste it into a shell, one flag on each line."""
    words = (f"\\\n  {quote(word)}" if word.startswith("--") else quote(word) for word in command)
    return " ".join(words)


def image_uri(report: Report, image: Image) -> str:
    """The image as a data: URI; the vector form where there is one."""
    kind = "svg+xml" if image.svg else "png"
    data = (report.results.root / image.file).read_bytes()
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _template(name: str) -> str:
    return _TEMPLATES.joinpath(name).read_text(encoding="utf-8")


def _is(kind: type) -> Any:
    return lambda value: isinstance(value, kind)


def _csp_hash(script: str) -> str:
    """The script's hash as a Content-Security-Policy wants it, so that no other script can run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def _makers(report: Report, names: tuple[str, ...]) -> list[Any]:
    """The jobs that made some files, by number."""
    found = {job.number: job for job in (report.jobs.of(name) for name in names)}
    return [found[number] for number in sorted(found)]


def _span(report: Report) -> dict[str, Any]:
    """When, where and from which commits the results were made: what differs from run to run."""
    runs = [job.document.run for job in report.jobs.all]
    commits = {run["git"]["commit"]: run["git"]["dirty"] for run in runs if run["git"]}
    return {
        "started": min((run["started"] for run in runs), default=""),
        "ended": max((run["ended"] for run in runs), default=""),
        "machines": list(dict.fromkeys(machine(job.document.run["host"]) for job in report.jobs.all)),
        "commits": [
            f"{commit[:12]}{' with changes' if dirty else ''}" for commit, dirty in sorted(commits.items())
        ],
    }
