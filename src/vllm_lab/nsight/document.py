"""A capture as one result document: the metrics; tables of ranges, kernels, copies and calls; one step.

Each number and each table is computed from the tables of nsys' export, or missing for a stated reason.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from vllm_lab.measure.document import Test, document, results_of
from vllm_lab.nsight.export import FORWARD, Export, Missing, Steps, seconds_of, union
from vllm_lab.nsight.metrics import METRICS, PARTS
from vllm_lab.tracing.kernels import table

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
LAUNCH = "Launch"  # in the names of all calls, of CUDA's runtime and driver, that launch a kernel or a graph
Formula = Callable[[Export, Steps], float]  # Missing where the capture lacks what the metric needs


def capture_document(capture: Mapping[str, Any], sqlite: Path) -> dict[str, Any]:
    """The result document of one capture: `capture` is its rule's JSON, `sqlite` the export.

    `absent` gives the reason for each metric and table without a value. A capture that was not made has
    empty tables and no metric.
    """
    own = {name: capture[name] for name in ("engine", "report_bytes")} | {"nsys": capture.get("nsys")}
    own |= {name: capture[name] for name in ("test_date", "hardware")}
    reason = capture["reason"]
    parameters = {"engine": capture["engine"], "nsys_options": capture.get("options", [])}
    if reason is None:
        environments = {"nsys": {"version": capture["nsys"]}}
        try:
            found = {"environments": environments, **_found(Export(sqlite))}
            return document(TEST, capture["device"], parameters, "measured", **own, **found)
        except Missing as missing:
            reason = str(missing)
    own |= {"reason": reason, "absent": {}} | {name: [] for name in (*_TABLES, "steps", "timeline")}
    return document(TEST, capture["device"], parameters, "not_run", **own)


def _found(export: Export) -> dict[str, Any]:
    steps = Steps.of(export)
    values: dict[str, float | None] = dict.fromkeys(METRICS)
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in _TABLES}
    absent: dict[str, str] = {}
    for name, formula in _FORMULAS.items():
        try:
            values[name] = float(formula(export, steps))
        except Missing as missing:
            absent[name] = str(missing)
    lacking: dict[str, list[str]] = defaultdict(list)  # reason -> the metrics that have it
    for name, reason in absent.items():
        lacking[reason].append(name)
    for name, rows in _TABLES.items():
        try:
            tables[name] = rows(export).to_dict("records")
        except Missing as missing:
            absent[name] = str(missing)
    return {
        "results": results_of(METRICS, values),
        "parts_not_run": [{"part": ", ".join(names), "reason": why} for why, names in lacking.items()],
        "absent": absent,
        **tables,
        "steps": _steps(export, steps).to_dict("records"),
        "timeline": _timeline(export, steps).to_dict("records"),
    }


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
    return _with_share(_statistics(_classed(export.kernels), "name", "kernel_class")).head(TOP_KERNELS)


def _kernel_classes(export: Export) -> pd.DataFrame:
    by_class = _statistics(_classed(export.kernels), "kernel_class")
    return _with_share(by_class.rename(columns={"kernel_class": "name"}))


def _classed(kernels: pd.DataFrame) -> pd.DataFrame:
    """The kernels with their `kernel_class`: what each does, by its name."""
    origins = kernels["long_name"].map(table().origin)
    return kernels.assign(kernel_class=[origin.kernel_class if origin else "other" for origin in origins])


def _copies(export: Export) -> pd.DataFrame:
    """Memory copies by kind: count, bytes, seconds, gb_per_s."""
    copies = export.copies.assign(seconds=seconds_of(export.copies))
    kinds = copies.groupby("kind").agg(
        count=("bytes", "size"), bytes=("bytes", "sum"), seconds=("seconds", "sum")
    )
    return kinds.assign(gb_per_s=kinds["bytes"] / kinds["seconds"] / 1e9).reset_index()


_TABLES: dict[str, Callable[[Export], pd.DataFrame]] = {
    "ranges": _ranges,
    "kernels": _kernels,
    "kernel_classes": _kernel_classes,
    "copies": _copies,
    "cuda_calls": lambda export: _statistics(export.cuda_calls, "name").head(TOP_CALLS),
    "os_calls": lambda export: _statistics(export.os_calls, "name").head(TOP_CALLS),
}


def _statistics(spans: pd.DataFrame, *keys: str) -> pd.DataFrame:
    """By `keys`: count; total, mean, median, 95th percentile, maximum (s). The largest total comes first."""
    seconds = spans.assign(seconds=seconds_of(spans)).groupby(list(keys))["seconds"]
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
    found[["forward", "gpu_busy"]] = None
    with suppress(Missing):
        found["forward"] = steps.seconds_in(FORWARD)
    with suppress(Missing):
        found["gpu_busy"] = steps.busy_seconds(export.gpu_work)
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
            "seconds": seconds_of(found),
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


def _share(part: pd.Series, whole: pd.Series, rows: pd.Series) -> float:
    return part[rows].sum() / whole[rows].sum()


def _decode_share(part: str) -> Formula:
    """The share of decode steps in the ranges `part`."""
    return lambda _, steps: _share(steps.seconds_in(part), steps.seconds, steps.decode())


def _other_share(export: Export, steps: Steps) -> float:
    return 1 - sum(_decode_share(part.range)(export, steps) for part in PARTS.values())


def _layer_share(ending: str) -> Formula:
    def share(_: Export, steps: Steps) -> float:
        layers = steps.parts["name"]
        names = set(layers[layers.str.startswith("layer.") & layers.str.endswith(ending)])
        if not names:
            raise steps.lacking("no ranges of layers in the capture; they need layer_ranges, on a CPU")
        inside = sum(steps.seconds_in(name) for name in names)
        return _share(inside, steps.seconds_in(FORWARD), steps.decode())

    return share


def _os_calls(export: Export, steps: Steps) -> pd.DataFrame:
    return steps.inside(export.os_calls[export.os_calls["thread"] == steps.thread])


def _decode_kernels(export: Export, steps: Steps) -> pd.DataFrame:
    """Kernels that begin within decode steps. Missing where no kernel does."""
    kernels = steps.inside(export.kernels)
    kernels = kernels[kernels["step"].map(steps.decode())]
    if kernels.empty:
        raise Missing("no kernel began within a decode step")
    return kernels


def _kernel_share(kernel_class: str) -> Formula:
    def share(export: Export, steps: Steps) -> float:
        kernels = _classed(_decode_kernels(export, steps))
        wanted = kernels["kernel_class"] == kernel_class
        return kernels.loc[wanted, "seconds"].sum() / kernels["seconds"].sum()

    return share


def _launch_gap(export: Export, steps: Steps) -> float:
    kernels = _decode_kernels(export, steps)
    reached = kernels.groupby("step")["end"].cummax().groupby(kernels["step"]).shift()
    gaps = (kernels["start"] - reached).dropna().clip(lower=0) / 1e9
    if gaps.empty:
        raise Missing("no decode step has two kernels")
    return gaps.mean()


def _busy_share(export: Export, steps: Steps) -> float:
    start, end = steps.table["start"].iloc[0], steps.table["end"].iloc[-1]
    work = export.gpu_work.clip(lower=start, upper=end)
    return (work["end"] - work["start"]).sum() / (end - start)


def _launch_calls(export: Export, _: Steps) -> float:
    calls = export.cuda_calls
    launches = calls[calls["name"].str.contains(LAUNCH)]
    if launches.empty:
        raise Missing("no call in the capture launches a kernel or a graph")
    return seconds_of(launches).mean()


def _seconds(spans: pd.DataFrame) -> float:
    return (spans["end"] - spans["start"]).sum() / 1e9


_FORMULAS: dict[str, Formula] = {
    "captured_steps": lambda _, steps: len(steps.table),
    "step_mean": lambda _, steps: steps.seconds.mean(),
    "step_p50": lambda _, steps: steps.seconds.median(),
    "schedule_mean": lambda _, steps: steps.seconds_in(PARTS["schedule"].range).mean(),
    "decode_step_p50": lambda _, steps: steps.seconds[steps.decode()].median(),
    "prefill_step_p50": lambda _, steps: steps.seconds[steps.prefill()].median(),
    **{f"decode_{name}_share": _decode_share(part.range) for name, part in PARTS.items()},
    "decode_other_share": _other_share,
    "decode_attention_range_share": _layer_share(".Attention"),
    "decode_linear_range_share": _layer_share("Linear"),
    "os_calls_per_step": lambda export, steps: len(_os_calls(export, steps)) / len(steps.table),
    "os_time_share": lambda export, steps: _os_calls(export, steps)["seconds"].sum() / steps.seconds.sum(),
    "gpu_busy_share": _busy_share,
    "decode_gpu_busy_share": lambda export, steps: _share(
        steps.busy_seconds(export.gpu_work), steps.seconds, steps.decode()
    ),
    "decode_kernels_per_step": lambda export, steps: (
        len(_decode_kernels(export, steps)) / steps.decode().sum()
    ),
    "decode_attention_kernel_share": _kernel_share("attention"),
    "decode_gemm_kernel_share": _kernel_share("gemm"),
    "decode_launch_gap_mean": _launch_gap,
    "launch_call_mean": _launch_calls,
    "copy_share": lambda export, _: _seconds(union(export.copies)) / _seconds(export.gpu_work),
    "copied_bytes": lambda export, _: export.copies["bytes"].sum(),
    "copy_bandwidth": lambda export, _: export.copies["bytes"].sum() / _seconds(export.copies) / 1e9,
}
