"""The report as one self-contained page, and as Markdown: two renderings of the same blocks.

The page has its styles, script and images inside it and fetches nothing. The Markdown leaves out what differs
from run to run.
"""

import base64
import hashlib
import posixpath
import re
from collections.abc import Iterator
from importlib.resources import files
from shlex import quote
from typing import Any

import jinja2
from markupsafe import Markup

from vllm_lab.common.display import escape
from vllm_lab.common.host import machine
from vllm_lab.report import blocks
from vllm_lab.report.blocks import Code, Figure, Heading, Inline, Note, Number, Section, Table, Text
from vllm_lab.report.report import METRICS_PAGE, Report, all_numbers, in_words, makers

_TEMPLATES = files("vllm_lab.report")
_CLOSING = re.compile(r"[.,;:)]*")
_MARKER = re.compile(r"^(\d*)([-+=.)])")


def page(report: Report) -> str:
    """The page as text. The same results and documents always give the same page."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for kind in (Text, Note, Heading, Table, Figure, Number, Code):
        environment.tests[kind.__name__.lower()] = lambda value, kind=kind: isinstance(value, kind)
    for filter in (exact, glued, listed, in_words, moment, shell):
        environment.filters[filter.__name__] = filter
    script = _template("page.js.jinja").strip()
    return environment.get_template("page.html.jinja").render(
        report=report,
        count=len(all_numbers(report)),
        jobs=report.jobs,
        style=Markup(_template("style.css")),
        script=Markup(script),
        script_hash=_csp_hash(script),
        image_uri=lambda figure: image_uri(report, figure),
        makers=lambda *shown: makers(report.jobs, blocks.files_of(shown)),
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
    parts = [*body.parts, ""]
    before = ""
    for index in range(len(body.parts)):
        part, following = parts[index : index + 2]
        if isinstance(part, Number):
            after = _CLOSING.match(following)[0] if isinstance(following, str) else ""
            if after:
                parts[index + 1] = following[len(after) :]
            yield before, part, after
            before = ""
        else:
            if isinstance(part, str) and isinstance(following, Number) and part.endswith("("):
                before, part = "(", part[:-1]
            yield "", part, ""


def listed(section: Section) -> list[Heading]:
    """The subtitles that the contents list."""
    return [block for block in section.blocks if isinstance(block, Heading) and block.id]


def moment(stamp: str) -> str:
    """An ISO time in UTC as people write it: 2026-01-02 03:04:05 UTC."""
    return stamp.replace("T", " ").replace("+00:00", " UTC")


def shell(command: list[str]) -> str:
    """A command as one can paste it into a shell, one flag on each line."""
    return " ".join(f"\\\n  {quote(word)}" if word.startswith("--") else quote(word) for word in command)


def image_uri(report: Report, figure: Figure) -> str:
    """The image as a data: URI; the vector form where there is one."""
    kind = "svg+xml" if figure.svg else "png"
    data = (report.results.root / figure.file).read_bytes()
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _template(name: str) -> str:
    return _TEMPLATES.joinpath(name).read_text(encoding="utf-8")


def _csp_hash(script: str) -> str:
    """The script's hash as a Content-Security-Policy wants it, so that no other script can run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


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


def markdown(report: Report, folder: str = "results/report", *, varying: bool = False) -> str:
    """The report as GitHub-flavoured Markdown; `folder` is where the file will be, for links to the figures.

    `varying`: with the columns that differ from run to run.
    """
    metrics = f"[{METRICS_PAGE}]({posixpath.relpath(METRICS_PAGE, folder)})"
    about = f"{metrics} defines every metric: formula, unit and source."
    lines = [f"# {escape(report.title)}", "", about, ""]
    if report.answers:
        lines += ["## In plain words", ""]
    for answer in report.answers:
        lines += [f"**{escape(answer.question)}**", ""]
        for paragraph in answer.paragraphs:
            lines += [_prose(paragraph), ""]
    for section in report.sections:
        lines += [f"## {escape(section.title)}", ""]
        for block in section.blocks:
            if shown := _block(block, folder, varying):
                lines += [*shown, ""]
        lines += _sources(section, report)
    return "\n".join(lines).rstrip("\n") + "\n"


def _inline(part: Inline) -> str:
    if isinstance(part, Number):
        return escape(part.display)
    if isinstance(part, Code):
        return _code(part.text)
    leading = " " if part[:1].isspace() else ""
    trailing = " " if part[-1:].isspace() and part.strip() else ""
    return f"{leading}{escape(part)}{trailing}"


def _code(words: str) -> str:
    """A code span that its own text cannot leave."""
    line = " ".join(words.split()) or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def _prose(body: Text) -> str:
    """A paragraph on one line that does not begin like a list or an underlined title."""
    line = "".join(_inline(part) for part in body.parts).strip()
    return _MARKER.sub(r"\1\\\2", line)


def _block(block: blocks.Block, folder: str, varying: bool) -> list[str]:
    match block:
        case Text():
            return [_prose(block)]
        case Note(body):
            return [f"> {_prose(body)}"]
        case Heading(title=title, level=level):
            return [f"{'#' * level} {escape(title)}"]
        case Table():
            return _table(block, varying)
        case Figure():
            link = posixpath.relpath(block.png or block.file, folder)
            return [f"![{escape(block.alt)}]({link})", "", f"*Figure.* {_prose(block.caption)}"]


def _table(table: Table, varying: bool) -> list[str]:
    """The table; nothing where everything but its first column differs from run to run."""
    shown = [index for index, column in enumerate(table.columns) if varying or not column.varies]
    if len(shown) == 1 < len(table.columns):
        return []
    columns = [table.columns[index] for index in shown]
    lines = [
        f"*Table.* {_prose(table.caption)}",
        "",
        _row([escape(column.title) for column in columns]),
        _row(["---:" if column.numeric else "---" for column in columns]),
    ]
    for row in table.rows:
        cells = [row[index] for index in shown]
        lines.append(_row([_cell(cell) for cell in cells]))
    return lines


def _cell(cell: blocks.Cell) -> str:
    """A cell's text. A bar would end the cell even inside a code span, so it is escaped there too."""
    shown = [
        _inline(part).replace("|", "\\|") if isinstance(part, Code) else _inline(part)
        for part in blocks.parts_of(cell)
    ]
    return "".join(shown).strip()


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _sources(section: Section, report: Report) -> list[str]:
    """Where the section's numbers come from: file, first digits of its sha256, rule and kind."""
    files = blocks.files_of(section.shown)
    if not files:
        return []
    lines = []
    for file in files:
        document = report.jobs.of(file).document
        rule, kind = document.identity["rule"], document.identity["kind"]
        lines.append(f"{_code(file)} (sha256 {document.outputs[file][:12]}, rule {_code(rule)}, {kind})")
    return ["Sources: " + "; ".join(lines) + ".", ""]
