"""The columns of the sharing tables, and how their files are read back.

A column's type is int, float or string, with a "?" where a value may be empty. The writers, the readers and
the schemas of the files use these mappings.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path

from vllm_lab.common.errors import LabError

Row = dict[str, str]  # a row of a CSV file, as text by column

REQUESTS = {
    "request_id": "string",
    "conversation_id": "string",
    "turn": "int",
    "arrival_time": "float",
    "prompt_tokens": "int",
    "shared_blocks": "int",
    "sharing_fraction": "float",
    "token_sharing_fraction": "float?",
    "shared_tokens": "int?",
}
BLOCKS = {
    "block": "int",
    "depth": "int",
    "hits": "int",
    "first_access": "float",
    "last_access": "float",
    "mean_gap": "float?",
}
REUSE_GAPS = {"gap_s": "float", "count": "int"}
WORKING_SET = {"time_s": "float", "window_s": "float", "blocks": "int", "kv_bytes": "int?"}
SWEEP = {
    "trace": "string",
    "block_size": "int",
    "policy": "string",
    "capacity_tokens": "float",
    "capacity_blocks": "float",
    "capacity_gib": "float?",
    "requests": "int",
    "block_accesses": "int",
    "block_hits": "int",
    "hit_rate": "float",
    "token_hit_rate": "float",
}
_POINTS = ("ours", "difference", "band_min", "band_p10", "band_median", "band_p90", "band_max")
REFERENCE = {
    **dict.fromkeys(("mode", "metric", "unit", "level", "opening", "short_prompts", "definition"), "string"),
    "published": "float",
    **dict.fromkeys(_POINTS, "float?"),
    "within_band": "string",
    "fits": "string",
}


def read_table(path: str | os.PathLike, columns: Mapping[str, str], rule: str) -> list[Row]:
    """The rows of a table. LabError for a file that is missing or has other columns; `rule` makes it."""
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except FileNotFoundError as error:
        raise LabError(f"{path}: no such file; run the rule {rule}") from error
    if list(reader.fieldnames or ()) != list(columns):
        raise LabError(
            f"{path}: columns are {reader.fieldnames}, must be {list(columns)}; run the rule {rule} again"
        )
    return rows


def read_sweep(path: str | os.PathLike) -> list[Row]:
    """The rows of a sweep; LabError as of `read_table`."""
    return read_table(path, SWEEP, "sharing_sweep")
