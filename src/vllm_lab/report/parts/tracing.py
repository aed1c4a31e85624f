"""What real vLLM calls to make a token: from tracing/{device}/simple.json, detailed.json and kernels.json."""

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

_TOOLS = {"simple": "Calls and shapes", "detailed": "Calls, times and stacks", "kernels": "Kernels"}
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


def build(results: Results) -> Section | None:
    """The section; None where no tool has a document."""
    found = {
        tool: results.json(name, f"tracing.{tool}", title)
        for tool, title in _TOOLS.items()
        for name in results.names(f"tracing/*/{tool}.json")
    }
    if not found:
        return None
    parts = {"simple": _calls, "detailed": _times, "kernels": _kernels}
    blocks: list[Block] = []
    for tool, document in found.items():
        own = parts[tool](document) if measured.ran(document) else []
        blocks += [Heading(document.label), *measured.whole(results, document, own=own)]
    paragraphs = tuple(
        paragraph
        for tool, answer in (("simple", _calls_answer), ("kernels", _kernels_answer))
        if tool in found and measured.ran(found[tool])
        for paragraph in [answer(found[tool])]
    )
    answers = (Answer("What does real vLLM call to make a token?", paragraphs),) if paragraphs else ()
    return Section("tracing", "Tracing: the path of a token through vLLM", tuple(blocks), answers)


def _calls_answer(found: JsonResult) -> Text:
    kinds = {row["kind"]: index for index, row in enumerate(found.value("check", "kinds"))}
    calls = ", ".join(f"{_kind(kind)} {{{kind}}}" for kind in kinds)
    differ = "differ (see Findings)" if found.value("check", "findings") else "are the same"
    return text(
        "One forward pass makes one token of each request. By the model's configuration it must call: "
        f"{calls}. The counted calls {differ}.",
        **{kind: _expected(found, index) for kind, index in kinds.items()},
    )


def _kernels_answer(found: JsonResult) -> Text:
    return text(
        "Of the time in {counted}, {share} is spent in {longest}.",
        counted=found.value("counted"),
        share=_class_share(found, 0),
        longest=found.value("classes", 0, "what"),
    )


def _kind(kind: str) -> str:
    return _KINDS.get(kind, kind)


def _expected(found: JsonResult, index: int) -> Number:
    kind = found.value("check", "kinds", index, "kind")
    label = f"calls of {_kind(kind)} in a forward pass"
    return found.number(
        "", *("check", "kinds", index, "calls"), id=f"calls.{kind}", label=label, status="derived"
    )


def _calls(found: JsonResult) -> list[Block]:
    blocks: list[Block] = [
        text(
            "vLLM answers {prompt} with {answer} in {forwards} forward passes. The first one computes all "
            "tokens of the prompt, and each further one computes one token. A hook on every module records "
            "its calls.",
            prompt=Code(found.value("parameters", "prompt")),
            answer=Code(found.value("answer")),
            forwards=str(len(found.value("forward_tokens"))),
        ),
        _check_table(found),
    ]
    findings = found.value("check", "findings")
    if findings:
        blocks.append(Note(text("Findings: {findings}.", findings="; ".join(findings))))
    return [*blocks, _silent_table(found), _path_table(found)]


def _check_table(found: JsonResult) -> Table:
    rows = tuple(
        (
            _kind(row["kind"]),
            _expected(found, index),
            ", ".join(map(str, sorted(set(row["counted"])))),
            "yes" if row["holds"] else "no",
            row["why"],
        )
        for index, row in enumerate(found.value("check", "kinds"))
    )
    columns = (*texts("Calls of"), *numbers("Expected", "Counted"), *texts("Equal in every pass", "Why"))
    caption = text(
        "Calls in each forward pass: expected from {basis}, and counted.", basis=found.value("check", "basis")
    )
    return Table("tracing-check", caption, columns, rows, (found.file,))


def _silent_table(found: JsonResult) -> Table:
    rows = tuple(
        (Code(row["module"]), Code(row["class"]), row["reason"] or "unknown, so this is a finding")
        for row in found.value("check", "silent")
    )
    caption = text("Modules that no call passed through.")
    return Table("tracing-silent", caption, texts("Module", "Class", "Why"), rows, (found.file,))


def _path_table(found: JsonResult) -> Table:
    rows = tuple(
        (
            Code("· " * row["depth"] + row["module"].rpartition(".")[2]),
            Code(row["class"]),
            _shapes(row["prefill"]),
            _shapes(row["decode"]) if row["decode"] else None,
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
    rows = tuple(
        (
            Code(row["class"]),
            str(row["calls"]),
            _seconds(found, f"classes.{row['class']}", "classes", index, "seconds"),
            _seconds(found, f"classes.{row['class']}.own", "classes", index, "self_seconds"),
        )
        for index, row in enumerate(found.value("classes"))
    )
    columns = (
        *texts("Class"),
        *numbers("Calls"),
        *numbers("Time in calls", "Without the calls inside", varies=True),
    )
    caption = text(
        "Calls by class over all forward passes, without the time of the hooks themselves. detailed.txt has "
        "the shapes of every call and the lines of vLLM that led to it."
    )
    return [Table("tracing-classes", caption, columns, rows, (found.file,))]


def _seconds(found: JsonResult, id: str, *keys: str | int) -> Number:
    return found.number("s", *keys, id=id, label=f"time of {id}", decimals=6)


def _class_share(found: JsonResult, index: int) -> Number:
    row = found.value("classes", index)
    label = f"share of {row['what']} in the time of {found.value('counted')}"
    return found.number("fraction", *("classes", index, "share"), id=f"{row['class']}.share", label=label)


def _kernels(found: JsonResult) -> list[Block]:
    classes = tuple(
        (
            Code(row["class"]),
            row["what"],
            str(row["calls"]),
            _class_share(found, index),
            ", ".join(row["sources"]),
        )
        for index, row in enumerate(found.value("classes"))
    )
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
    kernel_columns = (
        *texts("Name", "Class"),
        *numbers("Calls"),
        *numbers("Each", "Share of time", varies=True),
        *texts("Source"),
    )
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
        Table("tracing-kernel-classes", caption, class_columns, classes, (found.file,)),
        Table("tracing-kernels", longest, kernel_columns, kernels, (found.file,)),
    ]
