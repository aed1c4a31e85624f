"""The metrics of a capture, each computed from the export's tables, or missing for a stated reason."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from vllm_lab.nsight.export import FORWARD, Export, Missing, Steps, union
from vllm_lab.nsight.metrics import METRICS, PARTS
from vllm_lab.tracing.kernels import table

LAUNCH = "Launch"  # in the names of all calls, of CUDA's runtime and driver, that launch a kernel or a graph


def measure(export: Export, steps: Steps) -> tuple[dict[str, float | None], dict[str, str]]:
    """Each of METRICS (None where the capture lacks what it needs), and the reason for each None."""
    values: dict[str, float | None] = dict.fromkeys(METRICS)
    reasons: dict[str, str] = {}
    for name, formula in _FORMULAS.items():
        try:
            values[name] = float(formula(export, steps))
        except Missing as missing:
            reasons[name] = str(missing)
    return values, reasons


def kernel_class(name: str) -> str:
    """What a kernel does, by its name."""
    origin = table().origin(name)
    return origin.kernel_class if origin else "other"


def gpu_work(export: Export) -> pd.DataFrame:
    """When the GPU was at work, without overlap: start, end (ns). Missing where no kernel was traced."""
    spans = [export.kernels]
    for name in ("copies", "fills"):
        try:
            spans.append(getattr(export, name))
        except Missing:  # a run may copy or fill nothing
            continue
    return union(*spans)


def copies(export: Export) -> pd.DataFrame:
    """Memory copies by kind: count, bytes, seconds, gb_per_s."""
    found = export.copies
    seconds = (found["end"] - found["start"]) / 1e9
    kinds = found.assign(seconds=seconds).groupby("kind").agg(
        count=("bytes", "size"), bytes=("bytes", "sum"), seconds=("seconds", "sum")
    )  # fmt: skip
    return kinds.assign(gb_per_s=kinds["bytes"] / kinds["seconds"] / 1e9).reset_index()


def _share(part: pd.Series, whole: pd.Series, rows: pd.Series) -> float:
    return part[rows].sum() / whole[rows].sum()


def _decode_share(part: str) -> Callable[[Export, Steps], float]:
    """The share of decode steps in the ranges `part`."""
    return lambda _, steps: _share(steps.seconds_in(part), steps.seconds, steps.decode())


def _other_share(export: Export, steps: Steps) -> float:
    return 1 - sum(_decode_share(part.range)(export, steps) for part in PARTS.values())


def _layer_share(ending: str) -> Callable[[Export, Steps], float]:
    def share(_: Export, steps: Steps) -> float:
        layers = steps.parts["name"]
        names = set(layers[layers.str.startswith("layer.") & layers.str.endswith(ending)])
        if not names:
            raise steps.lacking("no ranges of layers in the capture; they need layer_ranges, on a CPU")
        inside = sum(steps.seconds_in(name) for name in names)
        return _share(inside, steps.seconds_in(FORWARD), steps.decode())

    return share


def _os_calls(export: Export, steps: Steps) -> pd.DataFrame:
    calls = export.os_calls
    return steps.inside(calls[calls["thread"] == steps.thread])


def _decode_kernels(export: Export, steps: Steps) -> pd.DataFrame:
    """Kernels that begin within decode steps. Missing where no kernel does."""
    kernels, decode = steps.inside(export.kernels), steps.decode()
    kernels = kernels[kernels["step"].map(decode)]
    if kernels.empty:
        raise Missing("no kernel began within a decode step")
    return kernels


def _kernel_share(wanted: str) -> Callable[[Export, Steps], float]:
    def share(export: Export, steps: Steps) -> float:
        kernels = _decode_kernels(export, steps)
        of_class = kernels["long_name"].map(kernel_class) == wanted
        return kernels.loc[of_class, "seconds"].sum() / kernels["seconds"].sum()

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
    work = gpu_work(export).clip(lower=start, upper=end)
    return (work["end"] - work["start"]).sum() / (end - start)


def _launch_calls(export: Export, _: Steps) -> float:
    calls = export.cuda_calls
    launches = calls[calls["name"].str.contains(LAUNCH)]
    if launches.empty:
        raise Missing("no call in the capture launches a kernel or a graph")
    return ((launches["end"] - launches["start"]) / 1e9).mean()


def _seconds(spans: pd.DataFrame) -> float:
    return (spans["end"] - spans["start"]).sum() / 1e9


def _schedule_mean(_: Export, steps: Steps) -> float:
    return steps.seconds_in(PARTS["schedule"].range).mean()


_FORMULAS: dict[str, Callable[[Export, Steps], float]] = {
    "captured_steps": lambda _, steps: len(steps.table),
    "step_mean": lambda _, steps: steps.seconds.mean(),
    "step_p50": lambda _, steps: steps.seconds.median(),
    "schedule_mean": _schedule_mean,
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
        steps.busy_seconds(gpu_work(export)), steps.seconds, steps.decode()
    ),
    "decode_kernels_per_step": lambda export, steps: (
        len(_decode_kernels(export, steps)) / steps.decode().sum()
    ),
    "decode_attention_kernel_share": _kernel_share("attention"),
    "decode_gemm_kernel_share": _kernel_share("gemm"),
    "decode_launch_gap_mean": _launch_gap,
    "launch_call_mean": _launch_calls,
    "copy_share": lambda export, _: _seconds(union(export.copies)) / _seconds(gpu_work(export)),
    "copied_bytes": lambda export, _: export.copies["bytes"].sum(),
    "copy_bandwidth": lambda export, _: export.copies["bytes"].sum() / _seconds(export.copies) / 1e9,
}
