"""What happens inside real vLLM: what Nsight Systems saw, and what a token calls on its way."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vllm_lab.report import measured
from vllm_lab.report.blocks import (
    Answer,
    Block,
    Code,
    Heading,
    Note,
    Number,
    Section,
    Table,
    Text,
    numbers,
    text,
    texts,
)
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


def nsight(results: Results) -> Section | None:
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
    blocks: list[Block] = [opening]
    for capture in found:
        blocks += [Heading(capture.label), *_capture(results, capture)]
    for figure, caption in _FIGURES.items():
        blocks += results.figure(f"nsight/figures/{figure}", caption)
    answers = tuple(answer for capture in found for answer in _answer(capture))
    return Section("nsight", "Nsight: the inside of a step", tuple(blocks), answers[:1])


def _capture(results: Results, found: JsonResult) -> list[Block]:
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
        *(_spans(found, table, *shown) for table, shown in _TABLES.items() if found.get(table)),
        *([_copies(found)] if found.get("copies") else ()),
        *measured.parameters(found),
    ]


def _spans(found: JsonResult, table: str, caption: str, most: int) -> Table:
    times = ("total", "mean", "p50", "p95", "max")
    rows = tuple(
        (Code(row["name"]), f"{row['count']:,}", *(_ms(row[key]) for key in times))
        for row in found.value(table)[:most]
    )
    titles = ("Count", "Total (ms)", "Mean", "Median", "95th percentile", "Maximum")
    columns = (*texts("Name"), *numbers(*titles, varies=True))
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
    parts = ("forward", "logits", "sample", "schedule", "update", "other")
    sentence = text(
        "A decode step of vLLM takes {step} here (median). Of this time the forward pass takes {forward}, "
        "the product with the vocabulary {logits}, sampling {sample}, scheduling {schedule}, the update of "
        "the requests {update}, and everything else {other}.",
        step=measured.number(found, "decode_step_p50"),
        **{part: measured.number(found, f"decode_{part}_share") for part in parts},
    )
    yield Answer("Where does the time of a step go?", (sentence,))


_KINDS = {
    "norm": "RMSNorm and other norms",
    "attention": "Attention",
    "rotary": "Rotary embedding",
    "activation": "SiLU and multiply",
    "linear": "Linear layers",
    "embedding": "Embedding",
    "logits": "Logits",
    "sampler": "Sampling",
}
_SHOWN = 12  # kernels; kernels.json has more


def tracing(results: Results) -> Section | None:
    """The section; None where no tool has a document."""
    tools = {
        "simple": ("Calls and shapes", _calls),
        "detailed": ("Calls, times and stacks", _times),
        "kernels": ("Kernels", _kernels),
    }
    blocks: list[Block] = []
    finished: dict[str, JsonResult] = {}
    for tool, (title, own) in tools.items():
        for name in results.names(f"tracing/*/{tool}.json"):
            found = results.json(name, f"tracing.{tool}", title)
            if measured.ran(found):
                finished[tool] = found
            blocks += [Heading(title), *measured.whole(results, found, own=own)]
    paragraphs = [_calls_answer(finished["simple"])] if "simple" in finished else []
    if kernels := finished.get("kernels"):
        values = {"counted": kernels.value("counted"), "longest": kernels.value("classes", 0, "what")}
        sentence = "Of the time in {counted}, {share} is spent in {longest}."
        paragraphs.append(text(sentence, share=_class_share(kernels, 0), **values))
    question = "What does real vLLM call to make a token?"
    answers = (Answer(question, tuple(paragraphs)),) if paragraphs else ()
    title = "Tracing: the path of a token through vLLM"
    return Section("tracing", title, tuple(blocks), answers) if blocks else None


def _calls_answer(found: JsonResult) -> Text:
    kinds = {row["kind"]: index for index, row in enumerate(found.value("check", "kinds"))}
    calls = ", ".join(f"{_KINDS.get(kind, kind)} {{{kind}}}" for kind in kinds)
    differ = "differ (see Findings)" if found.value("check", "findings") else "are the same"
    return text(
        "One forward pass makes one token of each request. By the model's configuration it must call: "
        f"{calls}. The counted calls {differ}.",
        **{kind: _expected(found, index) for kind, index in kinds.items()},
    )


def _expected(found: JsonResult, index: int) -> Number:
    kind = found.value("check", "kinds", index, "kind")
    label = f"calls of {_KINDS.get(kind, kind)} in a forward pass"
    check = found.at("check", "kinds", index, id="calls")
    return check.number("", "calls", id=kind, label=label, status="derived")


def _calls(found: JsonResult) -> list[Block]:
    findings = found.value("check", "findings")
    opening = text(
        "vLLM answers {prompt} with {answer} in {forwards} forward passes. The first one computes all tokens "
        "of the prompt, and each further one computes one token. A hook on every module records its calls.",
        prompt=Code(found.value("parameters", "prompt")),
        answer=Code(found.value("answer")),
        forwards=str(len(found.value("forward_tokens"))),
    )
    silent = tuple(
        (Code(row["module"]), Code(row["class"]), row["reason"] or "unknown, so this is a finding")
        for row in found.value("check", "silent")
    )
    caption = text("Modules that no call passed through.")
    return [
        opening,
        _check_table(found),
        *([Note(text("Findings: {findings}.", findings="; ".join(findings)))] if findings else ()),
        Table("tracing-silent", caption, texts("Module", "Class", "Why"), silent, (found.file,)),
        _path_table(found),
    ]


def _check_table(found: JsonResult) -> Table:
    rows = tuple(
        (
            _KINDS.get(row["kind"], row["kind"]),
            _expected(found, index),
            ", ".join(map(str, sorted(set(row["counted"])))),
            "yes" if row["holds"] else "no",
            row["why"],
        )
        for index, row in enumerate(found.value("check", "kinds"))
    )
    columns = (*texts("Calls of"), *numbers("Expected", "Counted"), *texts("Equal in every pass", "Why"))
    basis = found.value("check", "basis")
    caption = text("Calls in each forward pass: expected from {basis}, and counted.", basis=basis)
    return Table("tracing-check", caption, columns, rows, (found.file,))


def _path_table(found: JsonResult) -> Table:
    rows = tuple(
        (
            Code("· " * row["depth"] + row["module"].rpartition(".")[2]),
            Code(row["class"]),
            *(_shapes(row[kind]) if row[kind] else None for kind in ("prefill", "decode")),
        )
        for row in found.value("path")
    )
    columns = texts("Module", "Class", "The prompt", "One token")
    caption = text("The first layer in the order of its calls: shapes of its inputs → shapes of its outputs.")
    return Table("tracing-path", caption, columns, rows, (found.file,))


def _shapes(call: dict[str, Any]) -> Code:
    sides = (", ".join(str(tensor["shape"]) for tensor in call[side]) for side in ("inputs", "outputs"))
    return Code(" → ".join(sides))


def _times(found: JsonResult) -> list[Block]:
    def seconds(index: int, id: str, key: str) -> Number:
        return found.number("s", "classes", index, key, id=id, label=f"time of {id}", decimals=6)

    rows = tuple(
        (
            Code(row["class"]),
            str(row["calls"]),
            seconds(index, f"classes.{row['class']}", "seconds"),
            seconds(index, f"classes.{row['class']}.own", "self_seconds"),
        )
        for index, row in enumerate(found.value("classes"))
    )
    times = numbers("Time in calls", "Without the calls inside", varies=True)
    caption = text(
        "Calls by class over all forward passes, without the time of the hooks themselves. detailed.txt has "
        "the shapes of every call and the lines of vLLM that led to it."
    )
    columns = (*texts("Class"), *numbers("Calls"), *times)
    return [Table("tracing-classes", caption, columns, rows, (found.file,))]


def _class_share(found: JsonResult, index: int) -> Number:
    row = found.value("classes", index)
    label = f"share of {row['what']} in the time of {found.value('counted')}"
    return found.number("fraction", "classes", index, "share", id=f"{row['class']}.share", label=label)


def _kernels(found: JsonResult) -> list[Block]:
    classes = []
    for index, row in enumerate(found.value("classes")):
        name, calls, sources = Code(row["class"]), str(row["calls"]), ", ".join(row["sources"])
        classes.append((name, row["what"], calls, _class_share(found, index), sources))
    kernels = tuple(
        (
            Code(row["name"]),
            Code(row["class"]),
            str(row["calls"]),
            f"{1e6 * row['average_seconds']:.1f} µs",
            f"{row['share']:.1%}",
            Code(row["source"]) if row["source"] else "–",
        )
        for row in found.value("kernels")[:_SHOWN]
    )
    class_columns = (*texts("Class", "What"), *numbers("Calls", "Share of time"), *texts("Sources in vLLM"))
    times = numbers("Each", "Share of time", varies=True)
    kernel_columns = (*texts("Name", "Class"), *numbers("Calls"), *times, *texts("Source"))
    caption = text(
        "{counted} by class. A pattern of kernels.yaml decides the class by the name. The patterns were "
        "written from the sources of vLLM {version}. Where no pattern fits, the module that made the call "
        "decides.",
        counted=found.value("counted"),
        version=found.value("patterns_of"),
    )
    longest = text(
        "The {shown} that took longest, of {total}. profiler_report.txt lists all of them, and "
        "chrome_trace.json.gz has every call.",
        shown=str(len(kernels)),
        total=measured.number(found, "total_kernels"),
    )
    return [
        Table("tracing-kernel-classes", caption, class_columns, tuple(classes), (found.file,)),
        Table("tracing-kernels", longest, kernel_columns, kernels, (found.file,)),
    ]
