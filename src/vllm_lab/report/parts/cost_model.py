"""The cost model of a step and how well it foretells real vLLM: from cost_model/fit.json."""

from vllm_lab.report.blocks import (
    Answer,
    Block,
    Column,
    Figure,
    Heading,
    Note,
    Number,
    Section,
    Table,
    Text,
    text,
)
from vllm_lab.report.results import JsonResult, Results

_FILE = "cost_model/fit.json"
_FIGURES = {
    "cost_model_steps": "Duration of each step, predicted against measured; on the line they are equal.",
    "cost_model_requests": "Times of each held-out request, predicted against measured.",
}
_COEFFICIENTS = {
    "base": ("Every step", "s", "calling the model at all: reading the weights, launching the kernels"),
    "prefill_tokens": ("Prefill token", "s/token", "a new token of a request with more than one"),
    "decode_tokens": ("Decode token", "s/token", "the one new token of a request"),
    "context_tokens": ("Context token", "s/token", "a token that a new token looks at, itself included"),
}
_METRICS = {"ttft": "TTFT", "tpot": "TPOT", "e2e": "E2E", "throughput": "Throughput"}
_ERRORS = {
    "prediction": "simulation",
    "prediction_of_one_run": "simulation of one run",
    "repetition": "repetition",
}
_QUANTILES = {"median": "median", "p95": "95th percentile"}
_MODELS = {
    "context": "context for every new token (the cost model)",
    "context once": "context once a request",
    "context of either": "context of decodes and of prefills apart",
}


def build(results: Results) -> Section | None:
    """The calibration's section; None where there is no account of one."""
    if not results.has(_FILE):
        return None
    found = results.json(_FILE)
    if found.value("status") == "not_run":
        return Section("calibration", "Cost model", (_not_run(found),))
    blocks: tuple[Block, ...] = (
        _measured(found),
        _coefficient_table(found),
        Heading("What the fit leaves over"),
        _residual_table(found),
        *_figure(results, "cost_model_steps"),
        Heading("Requests it has not seen"),
        _error_table(found),
        Note(_limits(found)),
        *_figure(results, "cost_model_requests"),
        _run_table(found),
    )
    answer = Answer("How well does the simulation foretell real vLLM here?", (_answer(found),))
    return Section("calibration", "Cost model", blocks, (answer,))


def _not_run(found: JsonResult) -> Text:
    number = Number(
        "calibration.status",
        None,
        "",
        "not_run",
        found.file,
        "status",
        "Cost model of a step",
        found.value("reason"),
    )
    return text("The cost model of a step: {state}. {reason}", state=number, reason=found.value("reason"))


def _measured(found: JsonResult) -> Text:
    return text(
        "Real vLLM {version} ran in one process on {device}, threads: {threads}, its outputs forced to the "
        "trace's, and every step was timed. The coefficients are fitted to the steps of requests that all "
        "come at once, so that each repetition has the same steps and a step counts with its median; then "
        "requests of other conversations are run in real time, and simulated with the coefficients. Steps "
        "are weighed by relative error, those far off less.",
        version=str(found.value("environments", "engine", "vllm")),
        device=str(found.value("environments", "engine", "device_name")),
        threads=str(found.value("environments", "engine", "threads") or "as the device has"),
    )


def _coefficient_table(found: JsonResult) -> Table:
    rows = tuple(
        (
            title,
            found.number(
                f"calibration.coefficient.{name}",
                unit,
                *("fit", "models", "context", "coefficients", name),
                label=f"Cost model: {title.lower()}",
                decimals=4 if unit == "s" else None,
            ),
            meaning,
        )
        for name, (title, unit, meaning) in _COEFFICIENTS.items()
    )
    columns = (Column("For"), Column("A step takes", numeric=True), Column("What that is"))
    return Table("cost-model", text("The fitted cost model: a step lasts the sum of these."), columns, rows)


def _residual_table(found: JsonResult) -> Table:
    rows = []
    for model, title in _MODELS.items():
        for kind in ("all", "decode", "prefill", "mixed"):
            place = ("fit", "models", model, "residuals", kind)
            if found.has(*place):
                id = f"calibration.residual.{model.replace(' ', '_')}.{kind}"
                label = f"Cost model, {title}: {kind} steps"
                steps = found.number(f"{id}.steps", "", *place, "steps", label=f"{label}, count")
                sizes = (
                    found.number(
                        f"{id}.{size}.{quantile}",
                        "fraction" if size == "relative" else "s",
                        *place,
                        size,
                        quantile,
                        label=f"{label}, {size} residual, {words}",
                        decimals=None if size == "relative" else 4,
                    )
                    for size in ("relative", "absolute_s")
                    for quantile, words in _QUANTILES.items()
                )
                rows.append((title, kind, steps, *sizes))
    columns = (
        Column("Model"),
        Column("Steps"),
        *(
            Column(title, numeric=True)
            for title in (
                "Count",
                "Relative, median",
                "95th percentile",
                "Absolute, median",
                "95th percentile",
            )
        ),
    )
    caption = text(
        "Residuals of the steps fitted to. R² of the cost model: {r2}. The third model has a coefficient "
        "more than the file holds and shows what the four cannot follow.",
        r2=found.number(
            "calibration.r2",
            "",
            *("fit", "models", "context", "residuals", "r2"),
            label="Cost model: R² of the steps fitted to",
            decimals=4,
        ),
    )
    return Table("cost-model-residuals", caption, columns, tuple(rows))


def _error(found: JsonResult, kind: str, metric: str, name: str) -> Number:
    of = _ERRORS[kind]
    label = f"Held-out requests: error of the {of}, {_METRICS[metric]}, {_QUANTILES.get(name, name)}"
    return found.number(
        f"calibration.{kind}.{metric}.{name}", "fraction", "heldout", kind, metric, name, label=label
    )


def _error_table(found: JsonResult) -> Table:
    rows = tuple(
        (
            title,
            *(_error(found, "prediction", metric, name) for name in (*_QUANTILES, "bias")),
            *(_error(found, "prediction_of_one_run", metric, name) for name in _QUANTILES),
            *(_error(found, "repetition", metric, name) for name in _QUANTILES),
        )
        for metric, title in _METRICS.items()
    )
    titles = (
        "Median",
        "95th percentile",
        "Bias",
        "One run, median",
        "One run, 95th percentile",
        "Repetition, median",
        "Repetition, 95th percentile",
    )
    columns = (Column("Metric"), *(Column(title, numeric=True) for title in titles))
    caption = text(
        "Relative errors of the simulation over {requests} held-out requests, against each request's median "
        "over the runs that count; beside them the errors against single runs, and those of the runs against "
        "each other: what noise alone brings, on both sides.",
        requests=_heldout(found),
    )
    return Table("cost-model-errors", caption, columns, rows)


def _heldout(found: JsonResult) -> Number:
    return found.number(
        "calibration.heldout_requests",
        "requests",
        "heldout",
        "requests",
        label="Cost model: held-out requests",
    )


def _limits(found: JsonResult) -> Text:
    noise = [
        found.number(
            f"calibration.step_noise.{name}",
            "fraction",
            "step_noise",
            name,
            label=f"Same step repeated: distance from its median, {words}",
        )
        for name, words in _QUANTILES.items()
    ]
    return text(
        "What limits it: the same step, repeated, is off its own median by {median} (median) and {p95} (95th "
        "percentile). A model of four numbers further spreads over one coefficient the context of decodes, "
        "which waits for memory, and of prefills, which waits for arithmetic. And a request's first token "
        "depends on which step it just catches: a shift of milliseconds moves it by a whole prefill.",
        median=noise[0],
        p95=noise[1],
    )


def _run_table(found: JsonResult) -> Table:
    rows = tuple(
        (
            {"fitted": "fitted to", "heldout": "held out"}[run["set"]],
            f"{run['steps']:,}",
            f"{run['seconds']:.1f} s",
            f"{run['other_cores']:.2f}",
            f"{run['load_before']:.1f} to {run['load_after']:.1f}",
            "yes" if run["used"] else "no, disturbed",
        )
        for run in found.value("runs")
    )
    columns = (
        Column("Requests"),
        Column("Steps", numeric=True),
        Column("Time in steps", numeric=True, varies=True),
        Column("Cores others used", numeric=True, varies=True),
        Column("Load", numeric=True, varies=True),
        Column("Counts", varies=True),
    )
    caption = (
        "Every run. Where other jobs left it fewer cores than threads a run does not count, if two others do."
    )
    return Table("cost-model-runs", text(caption), columns, rows, (found.file,))


def _answer(found: JsonResult) -> Text:
    values = {
        f"{metric}_{kind}": _error(found, kind, metric, "median")
        for metric in ("ttft", "tpot", "e2e")
        for kind in ("prediction", "repetition")
    }
    return text(
        "For {requests} requests that the cost model was not fitted to, it is off by {ttft_prediction} in "
        "TTFT, {tpot_prediction} in TPOT and {e2e_prediction} in E2E (medians over the requests, of medians "
        "over the runs). The same run repeated is off by {ttft_repetition}, {tpot_repetition} and "
        "{e2e_repetition}.",
        requests=_heldout(found),
        **values,
    )


def _figure(results: Results, name: str) -> list[Figure]:
    image = results.image(f"cost_model/figures/{name}")
    caption = _FIGURES[name]
    return [Figure(name, image, text(caption), f"{caption} The CSV files hold the values.")] if image else []
