"""What real vLLM calls to make a token: from tracing/{device}/simple.json, detailed.json and kernels.json."""

from typing import Any

from vllm_lab.report.blocks import (
    Answer,
    Block,
    Code,
    Column,
    Heading,
    Note,
    Number,
    Section,
    Table,
    Text,
    text,
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
    """The tracing's section; None where no tool has a document."""
    found = {tool: results.json(name) for tool in _TOOLS for name in results.names(f"tracing/*/{tool}.json")}
    if not found:
        return None
    blocks: list[Block] = [_not_run(one) for one in found.values() if one.value("status") == "not_run"]
    ran = {tool: one for tool, one in found.items() if one.value("status") == "measured"}
    parts = {"simple": _calls, "detailed": _times, "kernels": _kernels}
    blocks += [block for tool, one in ran.items() for block in parts[tool](one)]
    if ran:
        blocks += [Heading("What tracing costs"), _overhead_table(ran)]
    answers = (Answer("What does real vLLM call to make a token?", tuple(_answers(ran))),) if ran else ()
    return Section("tracing", "The path of a token through vLLM", tuple(blocks), answers)


def _not_run(found: JsonResult) -> Text:
    tool, reason = _tool(found), found.value("reason")
    number = Number(f"tracing.{tool}.status", None, "", "not_run", found.file, "status", _TOOLS[tool], reason)
    return text("{tool}: {state}. {reason}", tool=_TOOLS[tool], state=number, reason=reason)


def _tool(found: JsonResult) -> str:
    return found.value("test_id").removeprefix("tracing_")


def _same_answers(found: JsonResult) -> bool:
    return next(check["holds"] for check in found.value("checks") if check["kind"] == "same_answers")


def _answers(ran: dict[str, JsonResult]) -> list[Text]:
    answers = []
    if "simple" in ran:
        found = ran["simple"]
        kinds = found.value("check", "kinds")
        told = {row["kind"]: _expected(found, index) for index, row in enumerate(kinds)}
        listed = ", ".join(f"{_KINDS[kind]} {{{kind}}}" for kind in told)
        verdict = "differs: see the findings" if found.value("check", "findings") else "is the same"
        answers.append(
            text(
                "A forward makes one token of each request. It must call, by the model's configuration: "
                f"{listed}. What was counted {verdict}.",
                **told,
            )
        )
    if "kernels" in ran:
        found = ran["kernels"]
        longest = found.value("classes", 0, "what")
        answers.append(
            text(
                "Of the time in {counted}, {share} goes to {longest}.",
                counted=found.value("counted"),
                share=_class_share(found, 0),
                longest=longest,
            )
        )
    return answers


def _expected(found: JsonResult, index: int) -> Number:
    kind = found.value("check", "kinds", index, "kind")
    return found.number(
        f"tracing.calls.{kind}",
        "",
        *("check", "kinds", index, "calls"),
        label=f"Calls of {_KINDS[kind]} in a forward",
        status="derived",
    )


def _calls(found: JsonResult) -> list[Block]:
    blocks: list[Block] = [
        Heading(_TOOLS["simple"]),
        text(
            "vLLM {version} on {device} answers {prompt} with {answer}, in {forwards} forwards: one for all "
            "tokens of the prompt, then one for each further token. A hook on every module notes its calls.",
            version=found.value("environments", "vllm", "vllm"),
            device=found.value("environments", "vllm", "device_name"),
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
            _KINDS[row["kind"]],
            _expected(found, index),
            ", ".join(map(str, sorted(set(row["counted"])))),
            "yes" if row["holds"] else "no",
            row["why"],
        )
        for index, row in enumerate(found.value("check", "kinds"))
    )
    columns = (
        Column("Calls of"),
        Column("Expected", numeric=True),
        Column("Counted", numeric=True),
        Column("Every forward"),
        Column("Why"),
    )
    caption = text(
        "Calls in each forward, expected by {basis} and counted.", basis=found.value("check", "basis")
    )
    return Table("tracing-check", caption, columns, rows, (found.file,))


def _silent_table(found: JsonResult) -> Table:
    rows = tuple(
        (Code(row["module"]), Code(row["class"]), row["reason"] or "not known: a finding")
        for row in found.value("check", "silent")
    )
    columns = (Column("Module"), Column("Class"), Column("Why"))
    return Table("tracing-silent", text("Modules that no call went through."), columns, rows, (found.file,))


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
    columns = (Column("Module"), Column("Class"), Column("The prompt"), Column("One token"))
    caption = text("The first layer in the order of its calls: shapes that came in → went out.")
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
        Column("Class"),
        Column("Calls", numeric=True),
        Column("Time in calls", numeric=True, varies=True),
        Column("Without calls inside", numeric=True, varies=True),
    )
    caption = text(
        "Calls by class over all forwards; the hooks' own time is taken out. detailed.txt has every call's "
        "shapes and the lines of vLLM that led to it."
    )
    return [Heading(_TOOLS["detailed"]), Table("tracing-classes", caption, columns, rows, (found.file,))]


def _seconds(found: JsonResult, id: str, *keys: str | int) -> Number:
    tool = _tool(found)
    return found.number(f"tracing.{tool}.{id}", "s", *keys, label=f"{_TOOLS[tool]}: {id}", decimals=6)


def _class_share(found: JsonResult, index: int) -> Number:
    name = found.value("classes", index, "class")
    return found.number(
        f"tracing.kernels.{name}.share",
        "fraction",
        *("classes", index, "share"),
        label=f"Share of {found.value('classes', index, 'what')} in the time of {found.value('counted')}",
    )


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
    class_columns = (
        Column("Class"),
        Column("What"),
        Column("Calls", numeric=True),
        Column("Share of time", numeric=True),
        Column("Sources in vLLM"),
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
    kernel_columns = (
        Column("Name"),
        Column("Class"),
        Column("Calls", numeric=True),
        Column("Each", numeric=True, varies=True),
        Column("Share of time", numeric=True, varies=True),
        Column("Source"),
    )
    caption = text(
        "{counted} by class. A name tells its class where a pattern of kernels.yaml fits it, which was read "
        "from the sources of vLLM {version}; else the module that called it does.",
        counted=found.value("counted"),
        version=found.value("patterns_of"),
    )
    longest = text(
        "The {shown} that took longest, of {total}. profiler_report.txt has all, chrome_trace.json.gz every "
        "call.",
        shown=str(len(kernels)),
        total=str(int(found.value("results", "total_kernels", "value"))),
    )
    return [
        Heading(_TOOLS["kernels"]),
        Table("tracing-kernel-classes", caption, class_columns, classes, (found.file,)),
        Table("tracing-kernels", longest, kernel_columns, kernels, (found.file,)),
    ]


def _overhead_table(ran: dict[str, JsonResult]) -> Table:
    rows = tuple(
        (
            _TOOLS[tool],
            _seconds(found, "plain", "results", "plain_seconds", "value"),
            _seconds(found, "traced", "results", "traced_seconds", "value"),
            found.number(
                f"tracing.{tool}.added",
                "fraction",
                *("results", "added", "value"),
                label=f"{_TOOLS[tool]}: time that tracing adds to the steps",
            ),
            "yes" if _same_answers(found) else "no",
        )
        for tool, found in ran.items()
    )
    columns = (
        Column("Tool"),
        Column("Steps without", numeric=True),
        Column("Steps with", numeric=True),
        Column("Added", numeric=True),
        Column("Same answers"),
    )
    caption = text("Time in the engine's steps, answering in turns without and with tracing; medians.")
    return Table("tracing-overhead", caption, columns, rows, tuple(found.file for found in ran.values()))
