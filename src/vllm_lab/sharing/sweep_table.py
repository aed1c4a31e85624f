"""Reading sweeps back from their CSV files."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from vllm_lab.common.errors import LabError
from vllm_lab.sharing.sweep import COLUMNS


def read_sweep(path: str | os.PathLike) -> list[dict[str, str]]:
    """The rows of a sweep as text by column; LabError for a file that is missing or is no sweep."""
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except FileNotFoundError as error:
        raise LabError(f"{path}: no such file; run the rule sweep") from error
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise LabError(
            f"{path}: columns are {reader.fieldnames}, must be {list(COLUMNS)}; run the rule sweep"
        )
    return rows
