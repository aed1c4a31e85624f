"""Exports of captures, from SQL, and what the project makes of them."""

import sqlite3
from contextlib import closing
from pathlib import Path

from vllm_lab.common.files import write_json
from vllm_lab.measure.document import now_and_here
from vllm_lab.nsight.document import capture_document
from vllm_lab.nsight.metrics import METRICS
from vllm_lab.provenance.schemas import check

FOLDER = Path(__file__).parent
SCHEMA = FOLDER.parents[1] / "workflow/schemas/nsight_metrics.schema.yaml"


def export_of(name: str, folder: Path) -> Path:
    """tests/nsight/NAME.sql as a SQLite file."""
    path = folder / f"{name}.sqlite"
    change(path, (FOLDER / f"{name}.sql").read_text())
    return path


def change(path: Path, statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(statements)


def document_of(export: Path, device: str = "cpu") -> dict:
    """The export's document, checked against its schema."""
    capture = {"engine": "vllm", "device": device, "nsys": "2025.1.1", "reason": None, "report_bytes": 1000}
    document = capture_document(capture | now_and_here(), export)
    written = export.with_suffix(".json")
    write_json(written, document)
    check(written, SCHEMA)
    return document


def metrics_of(document: dict) -> dict:
    """Every metric's value; None where the document has no result for it."""
    return {name: document["results"].get(name, {}).get("value") for name in METRICS}
