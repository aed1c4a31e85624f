"""A capture as one result document: the metrics; tables of ranges, kernels, copies and calls; one step."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from vllm_lab.measure.document import Test, document, results_of
from vllm_lab.nsight.export import FORWARD, Export, Missing, Steps
from vllm_lab.nsight.measures import copies, gpu_work, kernel_class, measure
from vllm_lab.nsight.metrics import METRICS

TEST = Test(
    id="nsight",
    name="A run under Nsight Systems",
    question="Where does the time of an engine's step go?",
    method="The requests are replayed twice; nsys records the second replay: NVTX ranges, calls to OS "
    "libraries, and on CUDA its calls, kernels and copies.",
    how_obtained="nsys' SQLite export of the capture",
    metrics=METRICS,
)
TOP_CALLS, TOP_KERNELS = 10, 30
Rows = list[dict[str, Any]]


def capture_document(capture: Mapping[str, Any], sqlite: Path) -> dict[str, Any]:
    """The result document of one capture: `capture` is its rule's JSON, `sqlite` the export.

    `absent` gives the reason for each metric and table without a value. A capture that was not made has
    empty tables and no metric.
    """
    own = {name: capture[name] for name in ("engine", "report_bytes")} | {"nsys": capture.get("nsys")}
    made = {name: capture[name] for name in ("test_date", "hardware")}
    reason = capture["reason"]
    parameters = {"engine": capture["engine"], "nsys_options": capture.get("options", [])}
    if reason is None:
        environments = {"nsys": {"version": capture["nsys"]}}
        try:
            found = {"environments": environments, **_found(Export(sqlite))}
            return document(TEST, capture["device"], parameters, "measured", **made, **own, **found)
        except Missing as missing:
            reason = str(missing)
    empty: dict[str, Rows] = {name: [] for name in (*_TABLES, "steps", "timeline")}
    own |= {"reason": reason, "absent": {}, **empty}
    return document(TEST, capture["device"], parameters, "not_run", **made, **own)


def _found(export: Export) -> dict[str, Any]:
    steps = Steps.of(export)
    values, absent = measure(export, steps)
    parts = [{"part": ", ".join(names), "reason": reason} for reason, names in _by_reason(absent).items()]
    tables: dict[str, Rows] = {}
    for name, rows in _TABLES.items():
        try:
            tables[name] = rows(export).to_dict("records")
        except Missing as missing:
            tables[name], absent[name] = [], str(missing)
    return {
        "results": results_of(METRICS, values),
        "parts_not_run": parts,
        "absent": absent,
        **tables,
        "steps": _steps(export, steps).to_dict("records"),
        "timeline": _timeline(export, steps).to_dict("records"),
    }


def _by_reason(absent: Mapping[str, str]) -> dict[str, list[str]]:
    """Reason -> the names that have it."""
    names: dict[str, list[str]] = defaultdict(list)
    for name, reason in absent.items():
        names[reason].append(name)
    return names


def _ranges(export: Export) -> pd.DataFrame:
    """All NVTX ranges of the capture by domain and name. The largest total comes first."""
    ranges = export.ranges
    return _statistics(ranges.assign(name=ranges["name"].map(_plain)), "domain", "name")


def _plain(name: str) -> str:
    """A range's name. vLLM names its layers' ranges by dictionaries: of these, the module without numbers."""
    if name.startswith("{'Module'"):
        name = ast.literal_eval(name)["Module"]
    return re.sub(r"(?<=\.)\d+(?=\.|$)", "N", name)


def _kernels(export: Export) -> pd.DataFrame:
    kernels = export.kernels
    classed = kernels.assign(kernel_class=kernels["long_name"].map(kernel_class))
    return _with_share(_statistics(classed, "name", "kernel_class")).head(TOP_KERNELS)


def _kernel_classes(export: Export) -> pd.DataFrame:
    kernels = export.kernels
    return _with_share(_statistics(kernels.assign(name=kernels["long_name"].map(kernel_class)), "name"))


_TABLES: dict[str, Callable[[Export], pd.DataFrame]] = {
    "ranges": _ranges,
    "kernels": _kernels,
    "kernel_classes": _kernel_classes,
    "copies": copies,
    "cuda_calls": lambda export: _statistics(export.cuda_calls, "name").head(TOP_CALLS),
    "os_calls": lambda export: _statistics(export.os_calls, "name").head(TOP_CALLS),
}


def _statistics(spans: pd.DataFrame, *keys: str) -> pd.DataFrame:
    """By `keys`: count; total, mean, median, 95th percentile, maximum (s). The largest total comes first."""
    seconds = spans.assign(seconds=(spans["end"] - spans["start"]) / 1e9).groupby(list(keys))["seconds"]
    found = seconds.agg(count="size", total="sum", mean="mean", p50="median", max="max")
    found.insert(4, "p95", seconds.quantile(0.95))
    return found.reset_index().sort_values(["total", *keys], ascending=[False, *[True] * len(keys)])


def _with_share(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(share=table["total"] / table["total"].sum())


def _steps(export: Export, steps: Steps) -> pd.DataFrame:
    """Each step: kind, start since the first step's, seconds, and of these those of forward and gpu_busy."""
    start = steps.table["start"]
    found = pd.DataFrame({"kind": steps.table["kind"], "start": (start - start.iloc[0]) / 1e9})
    found["seconds"] = steps.seconds
    for name, seconds in (
        ("forward", lambda: steps.seconds_in(FORWARD)),
        ("gpu_busy", lambda: steps.busy_seconds(gpu_work(export))),
    ):
        try:
            found[name] = seconds()
        except Missing:
            found[name] = None
    return found


def _timeline(export: Export, steps: Steps) -> pd.DataFrame:
    """The ranges of all domains in the step of median length, among the decode steps where there are any.

    Columns: name, domain, depth (0 is the step itself), start (s, since the step's), seconds.
    """
    try:
        candidates = steps.seconds[steps.decode()]
    except Missing:
        candidates = steps.seconds
    row = candidates.sort_values().index[(len(candidates) - 1) // 2]
    begin, end = steps.table.loc[row, ["start", "end"]]
    ranges = export.ranges
    inside = ranges[(ranges["thread"] == steps.thread) & (ranges["start"] >= begin) & (ranges["end"] <= end)]
    found = inside.sort_values(["start", "end"], ascending=[True, False], kind="stable")
    return pd.DataFrame(
        {
            "name": found["name"].map(_plain),
            "domain": found["domain"],
            "depth": _depths(found),
            "start": (found["start"] - begin) / 1e9,
            "seconds": (found["end"] - found["start"]) / 1e9,
        }
    )


def _depths(nested: pd.DataFrame) -> list[int]:
    """How many of the ranges, in order of start and the longer first, are open around each."""
    depths, open_until = [], []
    for start, end in zip(nested["start"], nested["end"], strict=True):
        open_until = [until for until in open_until if until > start]
        depths.append(len(open_until))
        open_until.append(end)
    return depths
