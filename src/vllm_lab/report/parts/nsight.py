"""What Nsight Systems saw of the captured runs: from nsight/EXPERIMENT.RUN.json."""

from collections.abc import Iterator

from vllm_lab.report import measured
from vllm_lab.report.blocks import Answer, Block, Code, Heading, Section, Table, Text, numbers, text, texts
from vllm_lab.report.results import JsonResult, Results

_FIGURES = {
    "step_timeline": "The NVTX ranges of one step of each capture with a model: the decode step of median "
    "length. Nested ranges are below those that contain them.",
    "kernel_shares": "Time by class of kernel, or by class of layer where no kernel was traced.",
    "cpu_and_gpu_time": "Each step: its length, the forward pass on the CPU, and the time in which the GPU "
    "was busy, if there is one.",
}
_RANGES, _CALLS = 16, 5
_TABLES = {
    "ranges": ("NVTX ranges of the capture, by total time.", _RANGES),
    "kernel_classes": ("Classes of kernels, by total time.", _CALLS),
    "kernels": ("Kernels, by total time.", _CALLS),
    "cuda_calls": ("Calls to CUDA, by total time.", _CALLS),
    "os_calls": ("Calls to libraries of the OS that took more than 1 µs, by total time.", _CALLS),
}
_PARTS_OF_A_STEP = ("forward", "logits", "sample", "schedule", "update", "other")


def build(results: Results) -> Section | None:
    """The section; None where no capture was tried."""
    runs = {name.split("/")[1].removesuffix(".json"): name for name in results.names("nsight/*.json")}
    found = [results.json(name, f"nsight.{run}", run) for run, name in runs.items()]
    if not found:
        return None
    blocks: list[Block] = [
        text(
            "These runs of experiments were captured with Nsight Systems, with NVTX ranges around the parts "
            "of the engine. The requests were replayed once before the capture began. The reports, {files}, "
            "open in NVIDIA's program.",
            files=Code("results/nsight/*.nsys-rep"),
        )
    ]
    for capture in found:
        blocks += [Heading(capture.label), *_capture(results, capture)]
    for figure, caption in _FIGURES.items():
        blocks += results.figure(f"nsight/figures/{figure}", caption)
    answers = tuple(answer for capture in found for answer in _answer(capture))
    return Section("nsight", "Nsight: the inside of a step", tuple(blocks), answers[:1])


def _capture(results: Results, found: JsonResult) -> list[Block]:
    if not measured.ran(found):
        return [measured.not_run(found)]
    tables = [_spans(found, table, *shown) for table, shown in _TABLES.items() if found.get(table)]
    copies = [_copies(found)] if found.get("copies") else []
    return [
        _size(found),
        *measured.result_table(found),
        *measured.parts_not_run(found),
        *tables,
        *copies,
        *measured.parameters(found),
    ]


def _size(found: JsonResult) -> Text:
    return text(
        "Engine {engine} on {device}, captured by nsys {version}: {size}.",
        engine=Code(found.value("engine")),
        device=found.value("device"),
        version=found.value("nsys"),
        size=found.number("bytes", "report_bytes", label="size of the report"),
    )


def _spans(found: JsonResult, table: str, caption: str, most: int) -> Table:
    rows = tuple(
        (
            Code(row["name"]),
            f"{row['count']:,}",
            *(_ms(row[key]) for key in ("total", "mean", "p50", "p95", "max")),
        )
        for row in found.value(table)[:most]
    )
    columns = (
        *texts("Name"),
        *numbers("Count", "Total (ms)", "Mean", "Median", "95th percentile", "Maximum", varies=True),
    )
    return Table(f"{found.id.replace('.', '-')}-{table}", text(caption), columns, rows, (found.file,))


def _copies(found: JsonResult) -> Table:
    rows = tuple(
        (row["kind"], f"{row['count']:,}", f"{row['bytes']:,}", _ms(row["seconds"]), f"{row['gb_per_s']:.2f}")
        for row in found.value("copies")
    )
    columns = (*texts("Kind"), *numbers("Count", "Bytes", "Time (ms)", "GB/s", varies=True))
    return Table(f"{found.id.replace('.', '-')}-copies", text("Memory copies."), columns, rows, (found.file,))


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:,.3f}"


def _answer(found: JsonResult) -> Iterator[Answer]:
    """From a run with a model, but without ranges around its layers, because these take time themselves."""
    if not found.has("results", "decode_forward_share") or found.has("results", "decode_linear_range_share"):
        return
    sentence = text(
        "A decode step of vLLM takes {step} here (median). Of this time the forward pass takes {forward}, "
        "the product with the vocabulary {logits}, sampling {sample}, scheduling {schedule}, the update of "
        "the requests {update}, and everything else {other}.",
        step=measured.number(found, "decode_step_p50"),
        **{part: measured.number(found, f"decode_{part}_share") for part in _PARTS_OF_A_STEP},
    )
    yield Answer("Where does the time of a step go?", (sentence,))
