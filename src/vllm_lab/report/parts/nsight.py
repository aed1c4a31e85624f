"""What Nsight Systems captured of real vLLM and of mini-vLLM: from nsight/{experiment}.{run}.json."""

from collections.abc import Iterator
from pathlib import Path

from vllm_lab.report import measured
from vllm_lab.report.blocks import Answer, Block, Code, Heading, Section, numbers, section, table, text
from vllm_lab.report.results import JsonResult, Results

_FIGURES = {
    "step_timeline": "The NVTX ranges of one step of each capture with a model: the decode step of median "
    "length. Nested ranges are below those that contain them.",
    "kernel_shares": "Time by class of kernel, or by class of layer where no kernel was traced.",
    "cpu_and_gpu_time": "Each step: its length, the forward pass on the CPU, and the time in which the GPU "
    "was busy, if there is one.",
}
# The tables of a document: caption, and how many rows are shown.
_TABLES = {
    "ranges": ("NVTX ranges of the capture, by total time.", 16),
    "kernel_classes": ("Classes of kernels, by total time.", 5),
    "kernels": ("Kernels, by total time.", 5),
    "cuda_calls": ("Calls to CUDA, by total time.", 5),
    "os_calls": ("Calls to libraries of the OS that took more than 1 µs, by total time.", 5),
}
_TIMES = {"total": "Total (ms)", "mean": "Mean", "p50": "Median", "p95": "95th percentile", "max": "Maximum"}


def build(results: Results) -> Section | None:
    """The section; None where no capture was tried."""
    files = {Path(name).stem: name for name in results.names("nsight/*.json")}
    found = [results.json(name, f"nsight.{run}", run) for run, name in files.items()]
    if not found:
        return None
    opening = text(
        "These runs of experiments were captured with Nsight Systems, with NVTX ranges around the parts of "
        "the engine. The requests were replayed once before the capture began. The reports, {files}, open in "
        "NVIDIA's program.",
        files=Code("results/nsight/*.nsys-rep"),
    )
    shown: list[Block] = [opening]
    for capture in found:
        shown += [Heading(capture.label), *_capture(capture)]
    for figure, caption in _FIGURES.items():
        shown += results.figure(f"nsight/figures/{figure}", caption)
    answers = [answer for capture in found for answer in _answer(capture)]
    return section("nsight", "Nsight: the inside of a step", shown, answers[:1])


def _capture(found: JsonResult) -> list[Block]:
    if not measured.ran(found):
        return [measured.not_run(found)]
    size = text(
        "Engine {engine} on {device}, captured by nsys {version}: {size}.",
        engine=Code(found.value("engine")),
        device=found.value("device"),
        version=found.value("nsys"),
        size=found.number("bytes", "report_bytes", label="size of the report"),
    )
    return [
        size,
        *measured.result_table(found),
        *measured.parts_not_run(found),
        *(_spans(found, key, *shown) for key, shown in _TABLES.items() if found.get(key)),
        *([_copies(found)] if found.get("copies") else ()),
        *measured.parameters(found),
    ]


def _spans(found: JsonResult, key: str, caption: str, most: int) -> Block:
    rows = (
        (Code(row["name"]), f"{row['count']:,}", *(_ms(row[time]) for time in _TIMES))
        for row in found.value(key)[:most]
    )
    columns = ("Name", *numbers("Count", *_TIMES.values(), varies=True))
    return table(measured.element(found, key), caption, columns, rows, found.file)


def _copies(found: JsonResult) -> Block:
    rows = (
        (row["kind"], f"{row['count']:,}", f"{row['bytes']:,}", _ms(row["seconds"]), f"{row['gb_per_s']:.2f}")
        for row in found.value("copies")
    )
    columns = ("Kind", *numbers("Count", "Bytes", "Time (ms)", "GB/s", varies=True))
    return table(measured.element(found, "copies"), "Memory copies.", columns, rows, found.file)


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:,.3f}"


def _answer(found: JsonResult) -> Iterator[Answer]:
    """From a run with a model, but without ranges around its layers, because these take time themselves."""
    if not found.has("results", "decode_forward_share") or found.has("results", "decode_linear_range_share"):
        return
    parts = ("forward", "logits", "sample", "schedule", "update", "other")
    sentence = text(
        "A decode step of vLLM takes {step} here (median). Of this time the forward pass takes {forward}, "
        "the product with the vocabulary {logits}, sampling {sample}, scheduling {schedule}, the update of "
        "the requests {update}, and everything else {other}.",
        step=measured.number(found, "decode_step_p50"),
        **{part: measured.number(found, f"decode_{part}_share") for part in parts},
    )
    yield Answer("Where does the time of a step go?", (sentence,))
