"""Which results must be the same bytes on every run."""

from pathlib import Path

from vllm_lab.provenance import documents

# The report shows measured results too. Everything else that was not measured is the same on every run.
SHOWS_THE_RUN = {
    f"results/report/{name}" for name in ("index.html", "report.md", "vllm_evaluation.md", "summary.json")
}


def repeatable(root: Path) -> dict[str, bytes]:
    """Path -> bytes of every result that was not measured."""
    return {
        path: (root / path).read_bytes()
        for path, document in documents.collect(root).items()
        if document.identity["kind"] != "measured" and path not in SHOWS_THE_RUN
    }
