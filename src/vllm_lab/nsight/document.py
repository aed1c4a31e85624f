"""A capture as one result document: the metrics; tables of ranges, kernels, copies and calls; one step.

Each number and each table is computed from the tables of nsys' export, or missing for a stated reason.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from vllm_lab.measure.document import Test, document, results_of
from vllm_lab.nsight.export import DECODE, FORWARD, PREFILL, Export, Missing, Steps, union
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


def capture_document(capture: Mapping[str, Any], sqlite: Path) -> dict[str, Any]:
    """The result document of one capture: `capture` is its rule's JSON, `sqlite` the export.

    `absent` gives the reason for each metric and table without a value. A capture that was not made has
    empty tables and no metric.
    """
    found = {name: capture[name] for name in ("engine", "report_bytes", "test_date", "hardware", "reason")}
    found |= {"nsys": capture.get("nsys"), "absent": {}}
    found |= {name: [] for name in _TABLES}
    if found["reason"] is None:
        try:
            found |= _found(Export(sqlite)) | {"environments": {"nsys": {"version": capture["nsys"]}}}
        except Missing as missing:
            found["reason"] = str(missing)
    status = "measured" if found["reason"] is None else "not_run"
    parameters = {"engine": capture["engine"], "nsys_options": capture.get("options", [])}
    return document(TEST, capture["device"], parameters, status, **found)


def _found(export: Export) -> dict[str, Any]:
    """What the export gives: metrics, tables, and what is absent. Missing where the capture has no steps."""
    steps = Steps.of(export)
    values: dict[str, Any] = {}
    absent: dict[str, str] = {}
    lacking: dict[str, list[str]] = defaultdict(list)  # reason -> the metrics that have it
    for name, formula in (_FORMULAS | _TABLES).items():
        try:
            values[name] = formula(export, steps)
        except Missing as missing:
            absent[name] = str(missing)
            if name in METRICS:
                lacking[absent[name]].append(name)
    return {
        "results": results_of(METRICS, {name: float(values[name]) for name in METRICS if name in values}),
        "parts_not_run": [{"part": ", ".join(names), "reason": why} for why, names in lacking.items()],
        "absent": absent,
        **{name: values[name].to_dict("records") for name in _TABLES if name in values},
    }


def _ranges(export: Export, _: Steps) -> pd.DataFrame:
    """All NVTX ranges of the capture by domain and name. The largest total comes first."""
    ranges = export.ranges
    return _statistics(ranges.assign(name=ranges["name"].map(_plain)), "domain", "name")


def _plain(name: str) -> str:
    """A range's name. vLLM names its layers' ranges by dictionaries: of these, the module without numbers."""
    if name.startswith("{'Module'"):
        name = ast.literal_eval(name)["Module"]
    return re.sub(r"(?<=\.)\d+(?=\.|$)", "N", name)


def _kernels(export: Export, _: Steps) -> pd.DataFrame:
    return _with_share(_statistics(_classed(export.kernels), "name", "kernel_class")).head(TOP_KERNELS)


def _kernel_classes(export: Export, _: Steps) -> pd.DataFrame:
    by_class = _statistics(_classed(export.kernels), "kernel_class")
    return _with_share(by_class.rename(columns={"kernel_class": "name"}))


def _classed(kernels: pd.DataFrame) -> pd.DataFrame:
    """The kernels with their `kernel_class`: what each does, by its name."""
    origins = kernels["long_name"].map(table().origin)
    return kernels.assign(kernel_class=[origin.kernel_class if origin else "other" for origin in origins])


def _copies(export: Export, _: Steps) -> pd.DataFrame:
    """Memory copies by kind: count, bytes, seconds, gb_per_s."""
    kinds = export.copies.groupby("kind").agg(
        count=("bytes", "size"), bytes=("bytes", "sum"), seconds=("seconds", "sum")
    )
    return kinds.assign(gb_per_s=kinds["bytes"] / kinds["seconds"] / 1e9).reset_index()


def _statistics(spans: pd.DataFrame, *keys: str) -> pd.DataFrame:
    """By `keys`: count; total, mean, median, 95th percentile, maximum (s). The largest total comes first."""
    seconds = spans.groupby(list(keys))["seconds"]
    found = seconds.agg(count="size", total="sum", mean="mean", p50="median", max="max")
    found.insert(4, "p95", seconds.quantile(0.95))
    return found.reset_index().sort_values(["total", *keys], ascending=[False, *[True] * len(keys)])


def _with_share(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(share=table["total"] / table["total"].sum())


def _steps(export: Export, steps: Steps) -> pd.DataFrame:
    """Each step: kind, start since the first step's, seconds, and of these those of forward and gpu_busy."""
    found = steps.table[["kind", "start", "seconds"]].assign(forward=None, gpu_busy=None)
    found["start"] = (found["start"] - found["start"].iloc[0]) / 1e9
    with suppress(Missing):
        found["forward"] = steps.seconds_in(FORWARD)
    with suppress(Missing):
        found["gpu_busy"] = steps.busy_seconds(export.gpu_work)
    return found


def _timeline(export: Export, steps: Steps) -> pd.DataFrame:
    """The ranges of all domains in the step of median length, among the decode steps where there are any.

    Columns: name, domain, depth (0 is the step itself), start (s, since the step's), seconds.
    """
    decode = steps.table[steps.table["kind"].isin(DECODE)]
    candidates = steps.table if decode.empty else decode
    step = candidates.sort_values("seconds").iloc[(len(candidates) - 1) // 2]
    ranges = export.ranges[export.ranges["thread"] == steps.thread]
    inside = ranges[(ranges["start"] >= step["start"]) & (ranges["end"] <= step["end"])]
    found = inside.sort_values(["start", "end"], ascending=[True, False], kind="stable")
    return pd.DataFrame(
        {
            "name": found["name"].map(_plain),
            "domain": found["domain"],
            "depth": _depths(found),
            "start": (found["start"] - step["start"]) / 1e9,
            "seconds": found["seconds"],
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


_TABLES: dict[str, Callable[[Export, Steps], pd.DataFrame]] = {
    "ranges": _ranges,
    "kernels": _kernels,
    "kernel_classes": _kernel_classes,
    "copies": _copies,
    "cuda_calls": lambda export, _: _statistics(export.cuda_calls, "name").head(TOP_CALLS),
    "os_calls": lambda export, _: _statistics(export.os_calls, "name").head(TOP_CALLS),
    "steps": _steps,
    "timeline": _timeline,
}


def _decode_share(part: pd.Series, whole: pd.Series, steps: Steps) -> float:
    """The share of `part` in `whole`, both seconds of each step, over the decode steps."""
    decode = steps.which(DECODE)
    return part[decode].sum() / whole[decode].sum()


def _part_share(part: str, _: Export, steps: Steps) -> float:
    return _decode_share(steps.seconds_in(PARTS[part]), steps.seconds, steps)


def _other_share(export: Export, steps: Steps) -> float:
    return 1 - sum(_part_share(part, export, steps) for part in PARTS)


def _layer_share(ending: str, _: Export, steps: Steps) -> float:
    layers = steps.parts["name"]
    names = set(layers[layers.str.startswith("layer.") & layers.str.endswith(ending)])
    if not names:
        raise steps.lacking("no ranges of layers in the capture; they need layer_ranges, on a CPU")
    inside = sum(steps.seconds_in(name) for name in names)
    return _decode_share(inside, steps.seconds_in(FORWARD), steps)


def _os_calls(export: Export, steps: Steps) -> pd.DataFrame:
    """Calls of the engine's thread that begin within steps."""
    return steps.inside(export.os_calls[export.os_calls["thread"] == steps.thread])


def _busy_share(export: Export, steps: Steps) -> float:
    start, end = steps.table["start"].iloc[0], steps.table["end"].iloc[-1]
    work = export.gpu_work.clip(lower=start, upper=end)
    return (work["end"] - work["start"]).sum() / (end - start)


def _decode_kernels(export: Export, steps: Steps) -> pd.DataFrame:
    """Kernels that begin within decode steps. Missing where no kernel does."""
    kernels = steps.inside(export.kernels)
    kernels = kernels[kernels["step"].map(steps.which(DECODE))]
    if kernels.empty:
        raise Missing("no kernel began within a decode step")
    return kernels


def _kernel_share(kernel_class: str, export: Export, steps: Steps) -> float:
    kernels = _classed(_decode_kernels(export, steps))
    wanted = kernels["kernel_class"] == kernel_class
    return kernels.loc[wanted, "seconds"].sum() / kernels["seconds"].sum()


def _launch_gap(export: Export, steps: Steps) -> float:
    kernels = _decode_kernels(export, steps)
    reached = kernels.groupby("step")["end"].cummax().groupby(kernels["step"]).shift()
    gaps = (kernels["start"] - reached).dropna().clip(lower=0) / 1e9
    if gaps.empty:
        raise Missing("no decode step has two kernels")
    return gaps.mean()


def _launch_calls(export: Export, _: Steps) -> float:
    calls = export.cuda_calls
    launches = calls[calls["name"].str.contains(LAUNCH)]
    if launches.empty:
        raise Missing("no call in the capture launches a kernel or a graph")
    return launches["seconds"].mean()


_FORMULAS: dict[str, Callable[[Export, Steps], float]] = {
    "captured_steps": lambda _, steps: len(steps.table),
    "step_mean": lambda _, steps: steps.seconds.mean(),
    "step_p50": lambda _, steps: steps.seconds.median(),
    "schedule_mean": lambda _, steps: steps.seconds_in(PARTS["schedule"]).mean(),
    "decode_step_p50": lambda _, steps: steps.seconds[steps.which(DECODE)].median(),
    "prefill_step_p50": lambda _, steps: steps.seconds[steps.which(PREFILL)].median(),
    **{f"decode_{part}_share": partial(_part_share, part) for part in PARTS},
    "decode_other_share": _other_share,
    "decode_attention_range_share": partial(_layer_share, ".Attention"),
    "decode_linear_range_share": partial(_layer_share, "Linear"),
    "os_calls_per_step": lambda export, steps: len(_os_calls(export, steps)) / len(steps.table),
    "os_time_share": lambda export, steps: _os_calls(export, steps)["seconds"].sum() / steps.seconds.sum(),
    "gpu_busy_share": _busy_share,
    "decode_gpu_busy_share": lambda export, steps: _decode_share(
        steps.busy_seconds(export.gpu_work), steps.seconds, steps
    ),
    "decode_kernels_per_step": lambda export, steps: (
        len(_decode_kernels(export, steps)) / steps.which(DECODE).sum()
    ),
    "decode_attention_kernel_share": partial(_kernel_share, "attention"),
    "decode_gemm_kernel_share": partial(_kernel_share, "gemm"),
    "decode_launch_gap_mean": _launch_gap,
    "launch_call_mean": _launch_calls,
    "copy_share": lambda export, _: union(export.copies)["seconds"].sum() / export.gpu_work["seconds"].sum(),
    "copied_bytes": lambda export, _: export.copies["bytes"].sum(),
    "copy_bandwidth": lambda export, _: export.copies["bytes"].sum() / export.copies["seconds"].sum() / 1e9,
}
