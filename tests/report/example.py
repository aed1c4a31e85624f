"""A small project with results of every part, as its jobs would have left them."""

from pathlib import Path

import pytest
import report_render as script

from tests.report.documents.data import exports, model_summary, rejects, tokens_summary, traces_summary
from tests.report.documents.measured import (
    benchmark,
    calibration,
    capture_metrics,
    capture_not_run,
    code_quality,
    server_replay,
    traced,
)
from tests.report.documents.sharing import hit_rates, mooncake_published, reference, trace_stats
from tests.report.documents.simulated import account, experiment_run, replay, verdicts
from tests.report.documents.words import HOSTILE, PIXEL, REASON
from tests.report.project import Project


def example(root: Path, *, host: str = "testhost", started: str = "2026-01-02T03:04:05+00:00") -> list[str]:
    """Write every part's results below `root`; the paths to give to the report."""
    project = Project(root, host=host, started=started)
    raw = project.job("sharegpt", {"results/data/sharegpt.json": "[]"})
    conversations = project.job("conversations", {"results/data/rejects.json": rejects()}, inputs=raw)
    model = project.job("model", {"results/data/model/summary.json": model_summary()})
    tokens = project.job(
        "tokens", {"results/traces/streams_summary.json": tokens_summary()}, inputs=[*conversations, *model]
    )
    traces = project.job("trace_summary", {"results/traces/summary.json": traces_summary()}, inputs=tokens)
    exported = project.job("exports", {"results/traces/exports/index.json": exports()}, inputs=tokens)
    stats = [
        path
        for trace in ("single_turn", "multi_turn", "mooncake_conversation")
        for path in project.job(
            "sharing",
            {f"results/sharing/{trace}_stats.json": trace_stats(trace)},
            inputs=tokens,
            wildcards={"trace": trace},
        )
    ]
    figures = project.job(
        "sharing_figures", {"results/sharing/figures/sharing_fraction_cdf.svg": PIXEL}, inputs=stats
    )
    sweep = project.job("sweep_table", {"results/sharing/sweeps/hit_rates.csv": hit_rates()}, inputs=tokens)
    mooncake = project.job(
        "mooncake_published",
        {"results/sharing/sweeps/mooncake_published.json": mooncake_published()},
        inputs=sweep,
    )
    compared = project.job("reference", {"results/sharing/reference.json": reference()}, inputs=tokens)
    calibrated = project.job(
        "cost_model_fit", {"results/cost_model/fit.json": calibration()}, inputs=model, kind="measured"
    )
    served = project.job(
        "load_predict",
        {"results/load/load.json": server_replay()},
        inputs=[*model, *calibrated],
        kind="measured",
    )
    followed = tracing(project, model)
    benchmarked = benchmarks(project, model)
    seen = captures(project, model)
    scheduled = scheduling(project, tokens)
    tried = experiments(project, tokens)
    settings = project.job("configuration", {"results/provenance/configuration.json": {"device": HOSTILE}})
    brought = bundle(project)
    return [
        *conversations, *model, *tokens, *traces, *exported, *stats, *figures, *sweep, *mooncake, *compared,
        *scheduled, *tried, *calibrated, *served, *benchmarked, *seen, *followed,
        *settings, *brought,
    ]  # fmt: skip


def scheduling(project: Project, tokens: list[str]) -> list[str]:
    """Replays of two traces with scarce memory; vLLM was not run on the single-turn one."""
    replayed = [
        path
        for trace in ("single_turn", "multi_turn")
        for engine in ("v1_naive", "v2_lru", "v3_priority", "v4_prefix", "vllm_uncached", "vllm_cached")
        for path in project.job(
            "oracle" if engine.startswith("vllm") else "mini",
            {f"results/{'oracle' if engine.startswith('vllm') else 'mini'}/{engine}.{trace}.scarce.json":
             replay(engine, trace)},
            inputs=tokens, wildcards={"engine": engine, "trace": trace}, kind="simulated",
        )
    ]  # fmt: skip
    replayed += project.job(
        "mini_imported",
        {"results/replay/v4_prefix.mooncake_conversation.scarce.json": replay("v4_prefix", "multi_turn")},
        inputs=tokens, kind="simulated",
    )  # fmt: skip
    runs = [
        account(version, trace)
        for trace in ("single_turn", "multi_turn")
        for version in ("v1_naive", "v2_lru", "v3_priority", "v4_prefix")
    ]
    return replayed + project.job(
        "compare", {"results/replay/comparison.json": {"runs": runs}}, inputs=replayed, kind="simulated"
    )


def experiments(project: Project, tokens: list[str]) -> list[str]:
    """One experiment: a refuted, a confirmed and a not run prediction; one of its runs was not run."""
    runs = [
        path
        for engine in ("v2_lru", "vllm")
        for path in project.job(
            "experiment_run", {f"results/experiments/exp001.{engine}.json": experiment_run(engine)},
            inputs=tokens, wildcards={"run": f"exp001.{engine}"}, kind="simulated",
        )
    ]  # fmt: skip
    return runs + project.job(
        "experiment_verdict", {"results/experiments/exp001.verdict.json": verdicts()}, inputs=runs,
        wildcards={"experiment": "exp001"}, kind="simulated",
    )  # fmt: skip


def benchmarks(project: Project, model: list[str]) -> list[str]:
    """A measured test with its figure, one that was not run, and the code's size."""
    ran = project.job(
        "bench_prefix_cache",
        {"results/plan/cpu/prefix_cache.json": benchmark()},
        inputs=model,
        kind="measured",
    )
    absent = {**benchmark(), "test_id": "cuda_graphs", "status": "not_run", "reason": REASON}
    return [
        *ran,
        *project.job("bench_pair", {"results/plan/cpu/cuda_graphs.json": absent}, kind="measured"),
        *project.job(
            "bench_figures", {"results/plan/figures/prefix_cache.svg": PIXEL}, inputs=ran, kind="measured"
        ),
        *project.job("bench_code_quality", {"results/plan/code_quality.json": code_quality()}),
    ]


def bundle(project: Project) -> list[str]:
    """A benchmark that was measured elsewhere, as a merge leaves it."""
    cluster = {"slurm_job_id": "17"}
    there = Project(project.root / "elsewhere", host="gpu-node", started=project.started, cluster=cluster)
    made = there.job(
        "bench_prefix_cache",
        {"results/plan/cuda/prefix_cache.json": benchmark() | {"device": "cuda"}},
        kind="measured",
    )
    home = project.root / "results/bundles/h200"
    home.parent.mkdir(parents=True)
    (there.root / "results").rename(home)
    return [path.replace("results/", "results/bundles/h200/", 1) for path in made]


def tracing(project: Project, model: list[str]) -> list[str]:
    """Calls with a finding, their times, and kernels; names and texts are hostile."""
    return [
        path
        for tools in (("simple", "detailed"), ("kernels",))
        for path in project.job(
            f"tracing_{tools[-1]}",
            {f"results/tracing/cpu/{tool}.json": traced(tool) for tool in tools},
            inputs=model,
            kind="measured",
        )
    ]


def captures(project: Project, model: list[str]) -> list[str]:
    """A capture of vLLM without a GPU, and one that was not made."""
    files = []
    for run, document in (("vllm", capture_metrics()), ("graphs", capture_not_run())):
        files += project.job(
            "nsight_metrics", {f"results/nsight/exp004.{run}.json": document}, inputs=model,
            wildcards={"run": f"exp004.{run}"}, kind="measured",
        )  # fmt: skip
    return files + project.job(
        "nsight_figures", {"results/nsight/figures/step_timeline.svg": PIXEL}, inputs=files, kind="measured"
    )


def write_report(root: Path, files: list[str]) -> Path:
    """Run the script in `root`; the folder that it wrote to."""
    folder = "results/report"
    outputs = ["--html", f"{folder}/index.html", "--markdown", f"{folder}/report.md"]
    outputs += ["--evaluation", f"{folder}/vllm_evaluation.md"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        script.main(["--inputs", *files, *outputs, "--summary", f"{folder}/summary.json"])
    return root / folder
