"""What a capture says, as one JSON document: metrics; tables of ranges, kernels, copies, calls; one step."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from vllm_lab.nsight.export import Export, Missing
from vllm_lab.nsight.measures import copies, gpu_work, kernel_class, measure
from vllm_lab.nsight.metrics import METRICS
from vllm_lab.nsight.steps import FORWARD, Steps

TOP_CALLS, TOP_KERNELS = 10, 30
Rows = list[dict[str, Any]]


def metrics_document(capture: Mapping[str, Any], sqlite: Path) -> dict[str, Any]:
    """Of one capture, told by its rule's `capture` and exported to `sqlite`.

    `absent` says of each metric and table without a value why; a capture that was not made has none at all.
    """
    body = {name: capture[name] for name in ("engine", "device", "report_bytes")} | {
        "nsys": capture.get("nsys")
    }
    reason = capture["reason"]
    if reason is None:
        try:
            return {**body, "status": "measured", "reason": None, **_found(Export(sqlite))}
        except Missing as missing:
            reason = str(missing)
    empty: dict[str, Rows] = {name: [] for name in (*_TABLES, "steps", "timeline")}
    return {
        **body,
        "status": "not_run",
        "reason": reason,
        "metrics": dict.fromkeys(METRICS),
        "absent": {},
        **empty,
    }


def _found(export: Export) -> dict[str, Any]:
    steps = Steps.of(export)
    metrics, absent = measure(export, steps)
    tables: dict[str, Rows] = {}
    for name, rows in _TABLES.items():
        try:
            tables[name] = rows(export).to_dict("records")
        except Missing as missing:
            tables[name], absent[name] = [], str(missing)
    return {
        "metrics": metrics,
        "absent": absent,
        **tables,
        "steps": _steps(export, steps).to_dict("records"),
        "timeline": _timeline(export, steps).to_dict("records"),
    }


def _ranges(export: Export) -> pd.DataFrame:
    """Every NVTX range of the capture by domain and name, the longest in sum first."""
    ranges = export.ranges
    return _statistics(ranges.assign(name=ranges["name"].map(_plain)), "domain", "name")


def _plain(name: str) -> str:
    """vLLM's layerwise ranges are dictionaries with shapes: of these the module, all layers as one."""
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


def _os_calls(export: Export) -> pd.DataFrame:
    return _statistics(export.os_calls, "name").head(TOP_CALLS)


def _cuda_calls(export: Export) -> pd.DataFrame:
    return _statistics(export.cuda_calls, "name").head(TOP_CALLS)


_TABLES: dict[str, Callable[[Export], pd.DataFrame]] = {
    "ranges": _ranges,
    "kernels": _kernels,
    "kernel_classes": _kernel_classes,
    "copies": copies,
    "cuda_calls": _cuda_calls,
    "os_calls": _os_calls,
}


def _statistics(spans: pd.DataFrame, *keys: str) -> pd.DataFrame:
    """By `keys`: count; total, mean, median, 95th percentile and maximum in s. The largest total first."""
    seconds = spans.assign(seconds=(spans["end"] - spans["start"]) / 1e9).groupby(list(keys))["seconds"]
    found = seconds.agg(count="size", total="sum", mean="mean", p50="median", max="max")
    found.insert(4, "p95", seconds.quantile(0.95))
    return found.reset_index().sort_values(["total", *keys], ascending=[False, *[True] * len(keys)])


def _with_share(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(share=table["total"] / table["total"].sum())


def _steps(export: Export, steps: Steps) -> pd.DataFrame:
    """Each step: kind, its start since the first one's (s), its seconds, of these forward and gpu_busy."""
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
    """The ranges of one step, of all domains: a decode step where there is one, of median length.

    name, domain, depth (0 is the step itself), start (s, since the step's), seconds.
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
