"""What Nsight Systems saw of the captured runs: from nsight/EXPERIMENT.RUN.json."""

from collections import defaultdict
from collections.abc import Iterator

from vllm_lab.nsight.metrics import METRICS
from vllm_lab.report.blocks import (
    Answer,
    Block,
    Code,
    Column,
    Figure,
    Heading,
    Number,
    Section,
    Table,
    Text,
    text,
)
from vllm_lab.report.results import JsonResult, Results

_FIGURES = {
    "step_timeline": "The NVTX ranges of one step of each capture, where the model runs the decode step of "
    "median length; nested ranges stand below those that hold them.",
    "kernel_shares": "Time by class of kernel; where no kernel was traced, by class of the model's layers.",
    "cpu_and_gpu_time": "Each step: its length, the forward pass on the CPU, and where there is a GPU, the "
    "time in which that was busy.",
}
_RANGES, _CALLS = 16, 5


def build(results: Results) -> Section | None:
    """The section; None where no run was captured, or found impossible to capture."""
    found = {
        name.removeprefix("nsight/").removesuffix(".json"): results.json(name)
        for name in results.names("nsight/*.json")
    }
    if not found:
        return None
    blocks: list[Block] = [
        text(
            "Runs of experiments under Nsight Systems, with NVTX ranges around the engine's parts; the "
            "requests were replayed once before the capture began. "
            "The reports, {files}, open in NVIDIA's GUI.",
            files=Code("results/nsight/*.nsys-rep"),
        )
    ]
    for run, capture in found.items():
        blocks += _run(capture, run)
    for figure, caption in _FIGURES.items():
        image = results.image(f"nsight/figures/{figure}")
        if image:
            blocks.append(
                Figure(f"nsight-{figure}", image, text(caption), f"{caption} The tables hold numbers.")
            )
    answers = tuple(answer for run, capture in found.items() for answer in _answer(capture, run))
    return Section("nsight", "Inside a step", tuple(blocks), answers[:1])


def _run(found: JsonResult, run: str) -> Iterator[Block]:
    yield Heading(run)
    if found.value("status") == "not_run":
        reason = found.value("reason")
        state = Number(
            f"nsight.{run}", None, "", "not_run", found.file, "status", f"Capture of {run}", reason
        )
        yield text("{state}: {reason}.", state=state, reason=reason)
        return
    yield _capture(found, run)
    yield _metrics(found, run)
    absent = _absent(found, run)
    if absent:
        yield absent
    yield _spans(found, run, "ranges", "NVTX ranges of the capture, the longest in sum first.", _RANGES)
    for table, caption in (
        ("kernel_classes", "Kernels by class."),
        ("kernels", "Kernels, the longest in sum first."),
        ("cuda_calls", "Calls to CUDA, the longest in sum first."),
        ("os_calls", "Calls to OS runtime libraries of more than 1 µs, the longest in sum first."),
    ):
        if found.value(table):
            yield _spans(found, run, table, caption, _CALLS)
    if found.value("copies"):
        yield _copies(found, run)


def _capture(found: JsonResult, run: str) -> Text:
    return text(
        "Engine {engine} on {device}, captured by nsys {version}: {size}.",
        engine=Code(found.value("engine")),
        device=found.value("device"),
        version=found.value("nsys"),
        size=found.number(f"nsight.{run}.report_bytes", "bytes", "report_bytes", label=f"Report of {run}"),
    )


def _metrics(found: JsonResult, run: str) -> Table:
    rows = tuple(
        (Code(name), _number(found, run, name), metric.definition)
        for name, metric in METRICS.items()
        if found.has("results", name)
    )
    columns = (Column("Metric"), Column("Value", numeric=True), Column("Definition"))
    return Table(f"nsight-{run}-metrics", text("What the capture comes to."), columns, rows)


def _number(found: JsonResult, run: str, name: str) -> Number:
    unit, value = METRICS[name].unit, found.value("results", name, "value")
    decimals = (4 if value >= 1e-3 else 6) if unit == "s" else None
    label = f"{run}: {name.replace('_', ' ')}"
    return found.number(f"nsight.{run}.{name}", unit, "results", name, "value", label=label, decimals=decimals)


def _absent(found: JsonResult, run: str) -> Table | None:
    """The metrics without a value, those of one reason together."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for name in METRICS:
        if not found.has("results", name):
            by_reason[found.value("absent", name)].append(name)
    rows = tuple(
        (
            ", ".join(names),
            Number(f"nsight.{run}.{names[0]}", None, "", "not_run", found.file, f"absent.{names[0]}",
                   f"{run}: {', '.join(names)}", reason),
            reason,
        )
        for reason, names in by_reason.items()
    )  # fmt: skip
    columns = (Column("Metrics"), Column("State"), Column("Reason"))
    return Table(f"nsight-{run}-absent", text("What it does not tell."), columns, rows) if rows else None


def _spans(found: JsonResult, run: str, table: str, caption: str, most: int) -> Table:
    rows = tuple(
        (
            Code(row["name"]),
            f"{row['count']:,}",
            *(_ms(row[key]) for key in ("total", "mean", "p50", "p95", "max")),
        )
        for row in found.value(table)[:most]
    )
    titles = ("Count", "Total (ms)", "Mean", "Median", "95th percentile", "Maximum")
    columns = (Column("Name"), *(Column(title, numeric=True, varies=True) for title in titles))
    return Table(f"nsight-{run}-{table}", text(caption), columns, rows, (found.file,))


def _copies(found: JsonResult, run: str) -> Table:
    rows = tuple(
        (row["kind"], f"{row['count']:,}", f"{row['bytes']:,}", _ms(row["seconds"]), f"{row['gb_per_s']:.2f}")
        for row in found.value("copies")
    )
    titles = ("Count", "Bytes", "Time (ms)", "GB/s")
    columns = (Column("Kind"), *(Column(title, numeric=True, varies=True) for title in titles))
    return Table(f"nsight-{run}-copies", text("Memory copies."), columns, rows, (found.file,))


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:,.3f}"


def _answer(found: JsonResult, run: str) -> Iterator[Answer]:
    """Of a run of the model, without ranges around its layers, which take time themselves."""
    if not found.has("results", "decode_forward_share") or found.has("results", "decode_linear_range_share"):
        return
    parts = ("forward", "logits", "sample", "schedule", "update", "other")
    sentence = text(
        "Of a decode step of vLLM here ({step} at the median): the forward pass {forward}, the product with "
        "the vocabulary {logits}, sampling {sample}, scheduling {schedule}, the books {update}, all else "
        "{other}.",
        step=_number(found, run, "decode_step_p50"),
        **{part: _number(found, run, f"decode_{part}_share") for part in parts},
    )
    yield Answer("Where does the time of a step go?", (sentence,))
