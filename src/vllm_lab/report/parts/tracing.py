"""What real vLLM calls to make a token: from tracing/{device}/simple.json, detailed.json and kernels.json."""

from typing import Any

from vllm_lab.report import blocks, measured
from vllm_lab.report.blocks import Block, Code, Number, Text, numbers, table, text
from vllm_lab.report.results import JsonResult, Results

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


def build(results: Results) -> blocks.Section | None:
    """The section; None where no tool has a document."""
    shown: list[Block] = []
    paragraphs: list[Text] = []
    for tool, own, answer in (
        ("simple", _calls, _calls_answer),
        ("detailed", _times, None),
        ("kernels", _kernels, _kernels_answer),
    ):
        for name in results.names(f"tracing/*/{tool}.json"):
            found = results.json(name)
            found = found.named(f"tracing.{tool}", measured.title(found))
            shown += [blocks.Heading(found.label), *measured.whole(results, found, own=own)]
            if answer and measured.ran(found):
                paragraphs.append(answer(found))
    question = "What does real vLLM call to make a token?"
    answers = [blocks.Answer(question, tuple(paragraphs))] if paragraphs else []
    return blocks.section("tracing", "Tracing: the path of a token through vLLM", shown, answers)


def _calls_answer(found: JsonResult) -> Text:
    kinds = {kind.value("kind"): kind for kind in found.each("check", "kinds", id="calls")}
    calls = ", ".join(f"{_title(kind)} {{{kind}}}" for kind in kinds)
    differ = "differ (see Findings)" if found.value("check", "findings") else "are the same"
    return text(
        "One forward pass makes one token of each request. By the model's configuration it must call: "
        f"{calls}. The counted calls {differ}.",
        **{name: _expected(kind) for name, kind in kinds.items()},
    )


def _kernels_answer(found: JsonResult) -> Text:
    return text(
        "Of the time in {counted}, {share} is spent in {longest}.",
        counted=found.value("counted"),
        share=_share(found, 0),
        longest=found.value("classes", 0, "what"),
    )


def _title(kind: str) -> str:
    return _KINDS.get(kind, kind)


def _expected(found: JsonResult) -> Number:
    """How often a forward pass must call modules of one kind."""
    kind = found.value("kind")
    label = f"calls of {_title(kind)} in a forward pass"
    return found.number("", "calls", id=kind, label=label, status="derived")


def _calls(found: JsonResult) -> list[Block]:
    findings = found.value("check", "findings")
    opening = text(
        "vLLM answers {prompt} with {answer} in {forwards} forward passes. The first one computes all tokens "
        "of the prompt, and each further one computes one token. A hook on every module records its calls.",
        prompt=Code(found.value("parameters", "prompt")),
        answer=Code(found.value("answer")),
        forwards=str(len(found.value("forward_tokens"))),
    )
    silent = (
        (Code(row["module"]), Code(row["class"]), row["reason"] or "unknown, so this is a finding")
        for row in found.value("check", "silent")
    )
    caption = "Modules that no call passed through."
    return [
        opening,
        _check_table(found),
        *([blocks.Note(Text((f"Findings: {'; '.join(findings)}.",)))] if findings else ()),
        table("tracing-silent", caption, ("Module", "Class", "Why"), silent, found.file),
        _path_table(found),
    ]


def _check_table(found: JsonResult) -> Block:
    rows = (
        (
            _title(kind.value("kind")),
            _expected(kind),
            ", ".join(map(str, sorted(set(kind.value("counted"))))),
            "yes" if kind.value("holds") else "no",
            kind.value("why"),
        )
        for kind in found.each("check", "kinds", id="calls")
    )
    columns = ("Calls of", *numbers("Expected", "Counted"), "Equal in every pass", "Why")
    caption = f"Calls in each forward pass: expected from {found.value('check', 'basis')}, and counted."
    return table("tracing-check", caption, columns, rows, found.file)


def _path_table(found: JsonResult) -> Block:
    rows = (
        (
            Code("· " * row["depth"] + row["module"].rpartition(".")[2]),
            Code(row["class"]),
            *(_shapes(row[kind]) if row[kind] else None for kind in ("prefill", "decode")),
        )
        for row in found.value("path")
    )
    columns = ("Module", "Class", "The prompt", "One token")
    caption = "The first layer in the order of its calls: shapes of its inputs → shapes of its outputs."
    return table("tracing-path", caption, columns, rows, found.file)


def _shapes(call: dict[str, Any]) -> Code:
    sides = (", ".join(str(tensor["shape"]) for tensor in call[side]) for side in ("inputs", "outputs"))
    return Code(" → ".join(sides))


def _times(found: JsonResult) -> list[Block]:
    def seconds(row: JsonResult, key: str, id: str) -> Number:
        return row.number("s", key, id=id, label=f"time of classes.{id}", decimals=6)

    rows = (
        (
            Code(name),
            str(row.value("calls")),
            seconds(row, "seconds", name),
            seconds(row, "self_seconds", f"{name}.own"),
        )
        for row in found.each("classes", id="classes")
        for name in [row.value("class")]
    )
    times = numbers("Time in calls", "Without the calls inside", varies=True)
    caption = (
        "Calls by class over all forward passes, without the time of the hooks themselves. detailed.txt has "
        "the shapes of every call and the lines of vLLM that led to it."
    )
    return [table("tracing-classes", caption, ("Class", *numbers("Calls"), *times), rows, found.file)]


def _share(found: JsonResult, index: int) -> Number:
    """The share of one class of kernels in the time of all."""
    row = found.value("classes", index)
    label = f"share of {row['what']} in the time of {found.value('counted')}"
    return found.number("fraction", "classes", index, "share", id=f"{row['class']}.share", label=label)


def _kernels(found: JsonResult) -> list[Block]:
    classes = (
        (Code(row["class"]), row["what"], str(row["calls"]), _share(found, index), ", ".join(row["sources"]))
        for index, row in enumerate(found.value("classes"))
    )
    kernels = [
        (
            Code(row["name"]),
            Code(row["class"]),
            str(row["calls"]),
            f"{1e6 * row['average_seconds']:.1f} µs",
            f"{row['share']:.1%}",
            Code(row["source"]) if row["source"] else "–",
        )
        for row in found.value("kernels")[:_SHOWN]
    ]
    class_columns = ("Class", "What", *numbers("Calls", "Share of time"), "Sources in vLLM")
    times = numbers("Each", "Share of time", varies=True)
    kernel_columns = ("Name", "Class", *numbers("Calls"), *times, "Source")
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
        table("tracing-kernel-classes", caption, class_columns, classes, found.file),
        table("tracing-kernels", longest, kernel_columns, kernels, found.file),
    ]
