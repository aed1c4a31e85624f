# What the report is made of.

SHARING_FIGURES = [
    "sharing_fraction_cdf",
    "block_hit_distribution",
    "reuse_gap_cdf",
    "comparison",
    "working_set",
]
SWEEP_FIGURES = ["hit_rate_curves", "hit_rate_heatmap"]
COST_MODEL_FIGURES = ["cost_model_steps", "cost_model_requests"]
SERVING_FIGURES = ["latency_over_rate"]
NSIGHT_FIGURES = ["step_timeline", "kernel_shares", "cpu_and_gpu_time"] if CAPTURED_RUNS else []
SCHEDULING_FIGURES = ["latency_histograms", "running_waiting_blocks", "hit_rate_over_time", "divergence"]

# What merged bundles hold, results and documents: no rule makes it.
BUNDLES = sorted(str(path) for path in Path("results/bundles").rglob("*") if path.is_file())


def report_inputs():
    """The results that the report tells of."""
    figures = [f"results/sharing/figures/{name}" for name in SHARING_FIGURES]
    figures += [f"results/sharing/sweeps/figures/{name}" for name in SWEEP_FIGURES]
    figures += [f"results/replay/figures/{name}" for name in SCHEDULING_FIGURES]
    figures += [f"results/cost_model/figures/{name}" for name in COST_MODEL_FIGURES]
    figures += [f"results/load/figures/{name}" for name in SERVING_FIGURES]
    figures += [f"results/plan/figures/{test}" for test in PLAN_TESTS]
    figures += [f"results/nsight/figures/{name}" for name in NSIGHT_FIGURES]
    return [
        "results/data/rejects.json",
        "results/data/model/summary.json",
        "results/traces/streams_summary.json",
        "results/traces/summary.json",
        "results/traces/exports/index.json",
        *([f"results/traces/{mode}_trace.jsonl" for mode in MODES] if config["traces"]["jsonl"] else []),
        *expand("results/sharing/{trace}_stats.json", trace=TRACES),
        "results/sharing/reference.json",
        "results/sharing/sweeps/hit_rates.csv",
        *(["results/sharing/sweeps/mooncake_published.json"] if "mooncake_conversation" in IMPORTED else []),
        *run_files("json"),
        *expand("results/replay/v4_prefix.{trace}.{memory}.json", trace=IMPORTED, memory=MEMORY),
        "results/replay/comparison.json",
        "results/cost_model/fit.json",
        "results/load/server_replay.json",
        *plan_files(),
        *[f"results/nsight/{run}.json" for run in CAPTURED_RUNS],
        *[f"results/tracing/{DEVICE}/{tool}.json" for tool in ("simple", "detailed", "kernels")],
        *[f"{figure}.{kind}" for figure in figures for kind in ("png", "svg")],
        *[f"results/experiments/{experiment}.verdict.json" for experiment in EXPERIMENTS],
        *[f"results/experiments/{run}.json" for run in RUNS],
        "results/report/PROGRESS.md",
        "results/provenance/configuration.json",
        *(path for path in BUNDLES if not path.endswith(".prov.json")),
    ]
