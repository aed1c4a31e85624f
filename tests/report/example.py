"""A small project with results of every stage: a recorded run of the small preset, with a few edits.

The edits put in what that run does not have: text that would break a page, vLLM not run on one trace, and a
bundle from another machine.
"""

import json
from collections.abc import Callable
from copy import deepcopy
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import report_render as script

from tests.report.project import Project
from tests.report.record import RECORDED
from tests.report.words import HOSTILE, PIXEL, REASON

BUNDLED = "results/plan/cuda/prefix_cache.json"


def recorded(name: str) -> Any:
    """A recorded document, by its name below results/."""
    return json.loads((RECORDED / "results" / name).read_text(encoding="utf-8"))


def example(root: Path, *, host: str = "testhost", started: str = "2026-01-02T03:04:05+00:00") -> list[str]:
    """Write the project below `root`; the paths to give to the report."""
    project = Project(root, host=host, started=started)
    run = json.loads((RECORDED / "jobs.json").read_text(encoding="utf-8"))
    for job in run["jobs"]:
        outputs = {path: content(path) for path in job["outputs"]}
        project.job(job["rule"], outputs, inputs=job["inputs"], wildcards=job["wildcards"], kind=job["kind"])
    return [*run["inputs"], *bundle(project)]


def content(path: str) -> Any:
    """The recorded and edited content of a file, or a small substitute for a file that was not recorded."""
    file = RECORDED / path
    if not file.exists():
        return PIXEL if path.endswith(".svg") else ""
    if path.endswith(".csv"):
        return file.read_text(encoding="utf-8")
    body = json.loads(file.read_text(encoding="utf-8"))
    for pattern, edit in EDITS.items():
        if fnmatchcase(path, f"results/{pattern}"):
            edit(body)
    return body


def bundle(project: Project) -> list[str]:
    """A benchmark that was measured elsewhere, as a merge leaves it."""
    there = Project(
        project.root / "elsewhere", host="gpu-node", started=project.started, cluster={"slurm_job_id": "17"}
    )
    body = content(BUNDLED.replace("cuda", "cpu")) | {"device": "cuda"}
    made = there.job("plan_prefix_cache", {BUNDLED: body}, kind="measured")
    home = project.root / "results/bundles/h200"
    home.parent.mkdir(parents=True)
    (there.root / "results").rename(home)
    return [path.replace("results/", "results/bundles/h200/", 1) for path in made]


def write_report(root: Path, files: list[str]) -> Path:
    """Run the script in `root`; the folder that it wrote to."""
    folder = "results/report"
    outputs = ["--html", f"{folder}/index.html", "--markdown", f"{folder}/report.md"]
    outputs += ["--evaluation", f"{folder}/vllm_evaluation.md"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        script.main(["--inputs", *files, *outputs, "--summary", f"{folder}/summary.json"])
    return root / folder


def report_of(root: Path, *jobs: tuple[str, str, Any]) -> tuple[str, dict[str, Any]]:
    """The Markdown and the summary of a report on jobs alone: (rule, name below results/, document)."""
    project = Project(root)
    files = [
        file
        for number, (rule, name, body) in enumerate(jobs)
        for file in project.job(
            rule, {f"results/{name}": body}, wildcards={"n": str(number)}, kind="measured"
        )
    ]
    folder = write_report(root, files)
    return (folder / "report.md").read_text(encoding="utf-8"), json.loads(
        (folder / "summary.json").read_text()
    )


def _put(*keys: str | int, value: Any = HOSTILE) -> Callable[[Any], None]:
    """An edit that sets the value under a path of keys."""

    def edit(body: Any) -> None:
        *path, last = keys
        for key in path:
            body = body[key]
        body[last] = deepcopy(value)

    return edit


def _all(*edits: Callable[[Any], None]) -> Callable[[Any], None]:
    def edit(body: Any) -> None:
        for one in edits:
            one(body)

    return edit


def _vllm_not_run(record: dict[str, Any]) -> None:
    for key in ("metrics", "metrics_by_priority", "crash", "refused", "vllm_version"):
        record.pop(key, None)
    record |= {"status": "not_run", "reason": REASON}


def _not_compared(comparison: dict[str, Any]) -> None:
    """The single-turn runs have no vLLM; the naive version ends for a hostile reason."""
    who = ("version", "against", "trace", "memory")
    comparison["runs"] = [
        {key: run[key] for key in who} | {"status": "not_run", "reason": REASON}
        if run["trace"] == "single_turn"
        else run
        for run in comparison["runs"]
    ]
    for run in comparison["runs"]:
        if run.get("crash"):
            run["crash"]["reason"] = HOSTILE


EDITS: dict[str, Callable[[Any], None]] = {
    "data/rejects.json": _put("roles", HOSTILE, value=1),
    "traces/exports/index.json": _put("exports", 0, "readers", 0, "command"),
    "oracle/vllm_*.single_turn.*.json": _vllm_not_run,
    "replay/comparison.json": _not_compared,
    "experiments/exp001.verdict.json": _all(
        *(_put(key) for key in ("title", "question", "aha")),
        _put("predictions", 0, "statement"),
        _put("comparisons", "lru_vs_vllm", "diff", 4, value=f"-{HOSTILE}"),
    ),
    "plan/cpu/prefix_cache.json": _all(
        _put("method"),
        _put("results", "cache_hit_rate", "definition"),
        _put("parts_not_run", value=[{"part": HOSTILE, "reason": HOSTILE}]),
        _put("checks", 0, "statement"),
    ),
    "load/load.json": _put("runs", 0, "errors", value={HOSTILE: 1}),
    "tracing/*/simple.json": _all(
        _put("answer"), _put("check", "findings", value=[HOSTILE]), _put("path", 0, "class")
    ),
    "tracing/*/kernels.json": _put("kernels", 0, "name"),
    "nsight/exp004.vllm.json": _put("ranges", 0, "name"),
    "provenance/configuration.json": _put("device"),
}
