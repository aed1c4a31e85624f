"""The cost model of a step and how well it predicts real vLLM: from cost_model/fit.json."""

from vllm_lab.common.metric import title_of
from vllm_lab.report import blocks, measured
from vllm_lab.report.blocks import Block, Heading, Note, Number, Text, numbers, table, text
from vllm_lab.report.results import Field, JsonResult, Results, grid, in_order

_FILE = "cost_model/fit.json"
_FIGURES = {
    "cost_model_steps": "Duration of each step, predicted and measured. On the line the two are equal.",
    "cost_model_requests": "Times of each held-out request, predicted and measured.",
}
_COEFFICIENTS = {
    "base": ("Every step", "s", "to call the model at all: read the weights and launch the kernels"),
    "prefill_tokens": ("Prefill token", "s/token", "a new token of a prompt"),
    "decode_tokens": ("Decode token", "s/token", "the one new token of a request whose prompt is computed"),
    "context_tokens": ("Context token", "s/token", "a token that a new token attends to, itself included"),
}
_METRICS = ("ttft", "tpot", "e2e", "throughput")
_POINTS = {"median": "median", "p95": "95th percentile", "bias": "bias"}
_ERROR_COLUMNS = {
    "Median": ("prediction", "median"),
    "95th percentile": ("prediction", "p95"),
    "Bias": ("prediction", "bias"),
    "One run, median": ("prediction_of_one_run", "median"),
    "One run, 95th percentile": ("prediction_of_one_run", "p95"),
    "Repetition, median": ("repetition", "median"),
    "Repetition, 95th percentile": ("repetition", "p95"),
}
_RESIDUALS = (
    Field("Count", "", ("steps",)),
    Field("Relative residual, median", "fraction", ("relative", "median")),
    Field("Relative residual, 95th percentile", "fraction", ("relative", "p95")),
    Field("Absolute residual, median", "s", ("absolute_s", "median")),
    Field("Absolute residual, 95th percentile", "s", ("absolute_s", "p95")),
)
_MODELS = {
    "context": "context of every new token (the cost model)",
    "context once": "context once per request",
    "context of either": "two contexts, of decodes and of prefills",
}


def build(results: Results) -> blocks.Section | None:
    """The section; None where nothing was fitted."""
    if not results.has(_FILE):
        return None
    found = results.json(_FILE, "cost_model", "Cost model")
    title = "Cost model of a step"
    if not measured.ran(found):
        return blocks.section("cost_model", title, measured.whole(results, found))
    answer = blocks.Answer("How well does the simulation predict real vLLM here?", (_answer(found),))
    return blocks.section("cost_model", title, _fit(results, found), [answer])


def _fit(results: Results, found: JsonResult) -> list[Block]:
    steps, requests = (
        results.figure(f"cost_model/figures/{name}", caption, values="The CSV files hold the values.")
        for name, caption in _FIGURES.items()
    )
    return [
        *measured.opening(found),
        _coefficient_table(found),
        Heading("What the model does not explain", level=4),
        _residual_table(found),
        *steps,
        Heading("Requests that the model was not fitted to", level=4),
        _error_table(found),
        Note(_limits(found)),
        *requests,
        *measured.verification(found),
        *measured.runs(found),
        *measured.parameters(found),
    ]


def _coefficient_table(found: JsonResult) -> Block:
    model = found.at("fit", "models", "context", id="")
    coefficients = model.at("coefficients", id="coefficient")
    rows = []
    for name, (title, unit, meaning) in _COEFFICIENTS.items():
        decimals = 4 if unit == "s" else None
        rows.append((title, coefficients.number(unit, name, label=title.lower(), decimals=decimals), meaning))
    caption = text(
        "The fitted cost model. A step lasts the sum of these. The fit uses the steps of requests that "
        "arrive all at once, so that every repetition has the same steps, and takes each step's median. It "
        "weighs steps by relative error, and steps far off count less. R² of the fit: {r2}.",
        r2=model.number("", "residuals", "r2", id="r2", label="R² of the fit", decimals=4),
    )
    columns = ("For", *numbers("A step takes"), "Meaning")
    return table("cost-model", caption, columns, rows)


def _residual_table(found: JsonResult) -> Block:
    rows = []
    models = found.value("fit", "models")
    for model in in_order(models, _MODELS):
        title, kinds = _MODELS.get(model, model), models[model]["residuals"]
        for kind in (kind for kind in ("all", "decode", "prefill", "mixed") if kind in kinds):
            residual = found.at(
                *("fit", "models", model, "residuals", kind),
                id=f"residual.{model.replace(' ', '_')}.{kind}",
                label=f"{title}, {kind} steps",
            )
            rows.append(((title, kind), residual))
    caption = (
        "Residuals of the steps that the model was fitted to. The model with two contexts has one "
        "coefficient more than the cost model. It shows what four coefficients cannot follow."
    )
    return grid("cost-model-residuals", caption, ("Model", "Steps"), rows, _RESIDUALS)


def _error(found: JsonResult, kind: str, metric: str, point: str) -> Number:
    error = f"error of the {kind.replace('_', ' ')} for held-out requests"
    label = f"{error}, {title_of(metric)}, {_POINTS[point]}"
    keys = (kind, metric, point)
    return found.number("fraction", "heldout", *keys, id=".".join(keys), label=label)


def _error_table(found: JsonResult) -> Block:
    rows = (
        (title_of(metric), *(_error(found, kind, metric, point) for kind, point in _ERROR_COLUMNS.values()))
        for metric in _METRICS
    )
    caption = text(
        "Relative errors of the prediction over {requests} held-out requests. The first three columns "
        "compare it with the median of each request over the runs that count, the next two with single runs. "
        "The last two compare the runs with each other, which shows the part that is noise.",
        requests=_heldout(found),
    )
    return table("cost-model-errors", caption, ("Metric", *numbers(*_ERROR_COLUMNS)), rows)


def _heldout(found: JsonResult) -> Number:
    return found.number("requests", "heldout", "requests", id="heldout_requests", label="held-out requests")


def _limits(found: JsonResult) -> Text:
    distance = "distance of a repeated step from its median"
    return text(
        "Three things limit the prediction. The same step, repeated, differs from its own median by {median} "
        "(median) and {p95} (95th percentile). One coefficient covers the context of decodes, which wait for "
        "memory, and the context of prefills, which wait for arithmetic. And the first token of a request "
        "depends on the step that it just catches, so a shift of milliseconds can move it by a whole "
        "prefill.",
        median=found.number("fraction", "step_noise", "median", label=f"{distance}, median"),
        p95=found.number("fraction", "step_noise", "p95", label=f"{distance}, 95th percentile"),
    )


def _answer(found: JsonResult) -> Text:
    values = {
        f"{metric}_{kind}": _error(found, kind, metric, "median")
        for metric in ("ttft", "tpot", "e2e")
        for kind in ("prediction", "repetition")
    }
    return text(
        "For {requests} requests that the cost model was not fitted to, the prediction is off by "
        "{ttft_prediction} in TTFT, {tpot_prediction} in TPOT and {e2e_prediction} in E2E. These are medians "
        "over the requests, of medians over the runs. The same run, repeated, is off by {ttft_repetition}, "
        "{tpot_repetition} and {e2e_repetition}.",
        requests=_heldout(found),
        **values,
    )
