"""Draw predicted against measured, for steps and for requests.

In: the result of the fit, its steps and its held-out requests.
Out: cost_model_steps and cost_model_requests, as PNG and SVG. If nothing was measured, the figures say so.
"""

from vllm_lab.common import console, figures, files, flags
from vllm_lab.cost_model.figures import requests_figure, steps_figure


def main(argv: list[str] | None = None) -> None:
    args = flags.parse(
        argv, __doc__, fit="fit.json", steps="steps.csv", heldout="heldout.csv", outdir="folder"
    )
    drawn = (
        (steps_figure, args.steps, args.outdir / "cost_model_steps"),
        (requests_figure, args.heldout, args.outdir / "cost_model_requests"),
    )
    ran = files.read_json(args.fit)["status"] != "not_run"
    for draw, table, stem in drawn:
        if ran:
            draw([row for row in files.read_csv(table) if row["used"] == "1"], stem)
        else:
            figures.message(stem, "not run: fit.json contains the reason")


if __name__ == "__main__":
    console.run(main)
