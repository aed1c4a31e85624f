"""The walk from results back to the raw data, over provenance documents, and what it finds on the way.

Everything that asks "what was this made from?" uses `upstream`: verification, archives, bundles, the research
object, the report's list of jobs and `python -m vllm_lab.provenance show`. `code_of` finds the code of a
script from its imports, without running it.
"""

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vllm_lab.common.errors import LabError
from vllm_lab.provenance.documents import Document, collect

PACKAGES = ("vllm_lab", "mini_vllm")
Covering = Mapping[str, Document]  # output path -> the document of the job that made it


@dataclass(frozen=True)
class Upstream:
    """What some files were made from: the documents of the jobs, and the files that no document covers."""

    documents: list[Document]  # sorted by path
    given: list[str]  # in the order in which they were found


def upstream(
    files: Iterable[str], covering: Covering, follow: Callable[[Document], bool] = lambda _: True
) -> Upstream:
    """Walk from `files` back to the data that no job made.

    The walk neither lists nor passes the jobs for which `follow` is false.
    """
    pending = list(dict.fromkeys(files))
    seen = set(pending)
    reached: dict[str, Document] = {}
    given = []
    while pending:
        path = pending.pop()
        document = covering.get(path)
        if document is None:
            given.append(path)
        elif document.path not in reached and follow(document):
            reached[document.path] = document
            pending += [source for source in document.inputs if source not in seen]
            seen.update(document.inputs)
    return Upstream([reached[path] for path in sorted(reached)], given)


@dataclass(frozen=True)
class Job:
    """One job. `number` counts from the raw data on; `anchor` is its element id on the report's page."""

    number: int
    anchor: str
    name: str
    document: Document


@dataclass(frozen=True)
class Source:
    """A file that a job read, its sha256, and the job that made it (None: it was given)."""

    file: str
    sha256: str
    maker: Job | None


class Jobs:
    """All jobs upstream of some files, in an order that depends on nothing but their documents."""

    def __init__(self, covering: Covering, files: Iterable[str]) -> None:
        depths: dict[str, int] = {}
        ordered = sorted(
            upstream(files, covering).documents,
            key=lambda document: (_depth(document, covering, depths), document.path),
        )
        self.all = tuple(
            Job(number, f"job-{number}", _name(document), document)
            for number, document in enumerate(ordered, start=1)
        )
        self._by_output = {output: job for job in self.all for output in job.document.outputs}

    def of(self, file: str) -> Job:
        """The job that made `file`."""
        return self._by_output[file]

    def inputs(self, job: Job) -> list[Source]:
        """What a job read, sorted by path, each with its maker."""
        inputs = job.document.inputs
        return [Source(file, inputs[file], self._by_output.get(file)) for file in sorted(inputs)]


def _name(document: Document) -> str:
    """The rule with its wildcards: "traces_make multi_turn". A bundle's name comes before it."""
    wildcards = document.identity["wildcards"]
    words = (document.identity["rule"], *(str(wildcards[key]) for key in sorted(wildcards)))
    return " ".join((f"{document.bundle}:", *words) if document.bundle else words)


def _depth(document: Document, covering: Covering, depths: dict[str, int]) -> int:
    """Longest chain of jobs from given files to this job; jobs form no circle, since hashes cannot."""
    if document.path not in depths:
        makers = (covering.get(file) for file in document.inputs)
        above = [_depth(maker, covering, depths) for maker in makers if maker is not None]
        depths[document.path] = 1 + max(above, default=0)
    return depths[document.path]


def describe(root: Path, file: str) -> str:
    """The chain of jobs from `file` (relative to `root`) back to the data that no job made, as text.

    Each job is described once; a later mention refers to it by its rule. Raises LabError when no document
    covers `file`.
    """
    covering = collect(root)
    if file not in covering:
        raise LabError(
            f"{file}: no provenance document covers it; give a file below results/ that a rule made"
        )
    return "\n".join(_described(file, covering, set()))


def _described(file: str, covering: Covering, described: set[str]) -> Iterator[str]:
    """The lines about a file and, indented, about all that it was made from."""
    document = covering.get(file)
    if document is None:
        yield f"{file}  (given; no rule made it)"
        return
    identity, run = document.identity, document.run
    name = "/".join(filter(None, (document.bundle, identity["rule"], *identity["wildcards"].values())))
    yield f"{file}  sha256 {document.outputs[file][:16]}…"
    if document.path in described:
        yield f"  by rule {name}, described above"
        return
    described.add(document.path)
    changes = " + changes" if run["git"] and run["git"]["dirty"] else ""
    commit = f", commit {run['git']['commit'][:12]}{changes}" if run["git"] else ""
    hardware = run["host"]
    accelerators = "".join(f", {gpu['name']}" for gpu in hardware["gpus"])
    yield f"  by rule {name} ({identity['kind']}), identity {document.digest[:16]}…"
    yield f"  command: {' '.join(identity['command'])}"
    yield f"  when: {run['started']}, {run['seconds']} s, {run['max_rss_mib']} MiB{commit}"
    yield f"  where: {hardware['name']}, {hardware['cpu']}, {run['threads']} threads{accelerators}"
    yield f"  environment: {', '.join(identity['environment'])}"
    yield f"  code: {', '.join(identity['code'])}"
    for source in document.inputs:
        for line in _described(source, covering, described):
            yield f"  {line}"


def code_of(script: str, root: Path = Path()) -> list[str]:
    """The script, all modules of PACKAGES that it imports at any depth, and the data files next to them.

    Sorted. All paths are relative to `root`, the project's root. Imports inside functions count. The modules
    of other packages are not listed, since the environment's lock covers them.
    """
    found: set[str] = set()
    pending = [script]
    while pending:
        path = pending.pop()
        if path not in found:
            found.add(path)
            modules = _imported(root / path) if path.endswith(".py") else ()
            pending += [file for module in modules for file in _files(module, root)]
    return sorted(found)


@cache
def _imported(file: Path) -> frozenset[str]:
    """Dotted names that the file imports from PACKAGES, each with the packages that it is in."""
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_bytes(), filename=str(file))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    own = (name.split(".") for name in names if name.split(".")[0] in PACKAGES)
    return frozenset(".".join(parts[:depth]) for parts in own for depth in range(1, len(parts) + 1))


@cache
def _files(module: str, root: Path) -> tuple[str, ...]:
    """The module's file and the data files (templates, style sheets) next to it; empty for another name."""
    base = Path("src", *module.split("."))
    for file in (base.with_suffix(".py"), base / "__init__.py"):
        if (root / file).is_file():
            siblings = (path for path in (root / file.parent).iterdir() if path.is_file())
            data = [path.name for path in siblings if path.suffix not in (".py", ".pyc")]
            return tuple(path.as_posix() for path in (file, *(file.parent / name for name in data)))
    return ()
