"""A project whose jobs are done: given files, results, a merged bundle, a report; each has its document."""

from pathlib import Path

from tests.report.project import Project
from tests.report.words import HOSTILE

REPORT = [
    f"results/report/{name}" for name in ("index.html", "report.md", "vllm_evaluation.md", "summary.json")
]
MADE = ["results/ro-crate-metadata.json", "results/provenance/Snakefile", "results/provenance/source.zip"]
ARCHIVE = "results/provenance/archive.zip"
SETTINGS = "results/provenance/configuration.json"
STARTED = "2026-01-02T03:04:05+00:00"


def reported(root: Path) -> None:
    """Make results of every kind below `root`, and the report. One job reads a file outside the project."""
    outside = root.with_name("given.txt")
    outside.write_text("the user's own")
    project = Project(root)
    own = project.job("own", {"results/data/own.json": {}}, inputs=[str(outside)])
    model = project.job("data_model", {"results/data/model/summary.json": {"model": HOSTILE}})
    streams = project.job("traces_streams", {"results/traces/streams.json": [1, 2]}, inputs=[*own, *model])
    stats = [
        path
        for trace in ("single_turn", "multi_turn")
        for path in project.job(
            "sharing_stats",
            {
                f"results/sharing/{trace}_stats.json": {"trace": trace},
                f"results/sharing/{trace}.csv": "a,b\n",
            },
            inputs=streams,
            wildcards={"trace": trace},
        )
    ]
    replayed = project.job("replay_mini", {"results/replay/mini.json": {}}, inputs=streams, kind="simulated")
    measured = project.job("plan_pair", {"results/plan/cpu/pair.json": {}}, inputs=model, kind="measured")
    settings = project.job("provenance_configuration", {SETTINGS: {"device": HOSTILE}})
    inputs = [*stats, *replayed, *measured, *settings, *merged(project)]
    project.job("report_render", {path: f"{path} of {HOSTILE}" for path in REPORT}, inputs=inputs)


def merged(project: Project) -> list[str]:
    """A result that was measured elsewhere, as a merge leaves it."""
    there = Project(
        project.root / "elsewhere", host="gpu-node", started=STARTED, cluster={"slurm_job_id": "17"}
    )
    made = there.job("plan_prefix_cache", {"results/plan/cuda/prefix_cache.json": {}}, kind="measured")
    home = project.root / "results/bundles/h200"
    home.parent.mkdir(parents=True)
    (there.root / "results").rename(home)
    return [path.replace("results/", "results/bundles/h200/", 1) for path in made]
