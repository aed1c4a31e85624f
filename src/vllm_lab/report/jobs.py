"""The jobs behind a report: provenance documents, numbered from the raw data on, linked to their makers."""

from collections.abc import Iterable
from dataclasses import dataclass

from vllm_lab.provenance.documents import Document


@dataclass(frozen=True)
class Job:
    """One job. `number` counts from the raw data on; `anchor` is its element id on the page."""

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
    """All jobs upstream of the report's inputs, in an order that depends on nothing but their documents."""

    def __init__(self, documents: dict[str, Document], files: Iterable[str]) -> None:
        reached = _upstream(documents, files)
        depths: dict[str, int] = {}
        for document in reached:
            _depth(document, documents, depths)
        ordered = sorted(reached, key=lambda document: (depths[document.path], document.path))
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
    """The rule with its wildcards, as people say it: "trace multi_turn"; a bundle's name before it."""
    wildcards = document.identity["wildcards"]
    words = (document.identity["rule"], *(str(wildcards[key]) for key in sorted(wildcards)))
    return " ".join((f"{document.bundle}:", *words) if document.bundle else words)


def _upstream(documents: dict[str, Document], files: Iterable[str]) -> list[Document]:
    reached: dict[str, Document] = {}
    pending = list(files)
    while pending:
        document = documents.get(pending.pop())
        if document is None or document.path in reached:
            continue
        reached[document.path] = document
        pending.extend(document.inputs)
    return list(reached.values())


def _depth(document: Document, documents: dict[str, Document], depths: dict[str, int]) -> int:
    """Longest chain of jobs from given files to this job; jobs form no circle, since hashes cannot."""
    if document.path not in depths:
        makers = (documents.get(file) for file in document.inputs)
        above = [_depth(maker, documents, depths) for maker in makers if maker is not None]
        depths[document.path] = 1 + max(above, default=0)
    return depths[document.path]
