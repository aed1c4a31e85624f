# The benchmark plan: which job makes which tests, on generated prompts or (_sharegpt) on those of the trace.
BENCH = config["plan"]
BENCH_PAIRS = ["torch_compile", "cuda_graphs", "scheduler"]
BENCH_JOBS = {
    "basics": ["throughput", "latency", "memory"],
    "prefix_cache": ["prefix_cache"],
    **{name: [name] for name in BENCH_PAIRS},
    "scaling": ["single_device", "strong_scaling", "weak_scaling"],
}
SHAREGPT = "_sharegpt"
PROMPTS = f"|{SHAREGPT}"
BENCH_TESTS = [
    f"{test}{SHAREGPT if name.endswith(SHAREGPT) else ''}"
    for name in BENCH["tests"]
    for test in BENCH_JOBS[name.removesuffix(SHAREGPT)]
]
BENCH_SHAPE = BENCH[DEVICE]["dummy_weights_of"]


def bench_model():
    """The configured model, or the config.json whose shape the plan's dummy weights have."""
    if BENCH_SHAPE:
        return [existing(f"plan.{DEVICE}.dummy_weights_of", f"{BENCH_SHAPE}/config.json")]
    return [rules.data_model.output.config, *rules.data_model.output.weights]


def bench_trace(wildcards):
    """The trace that the prompts come from, unless they are generated."""
    return "results/traces/multi_turn_trace.parquet" if wildcards.prompts else []


def bench_flags(workload):
    """Model, engine, repeats, prompts and workload of a test of the plan, on the device that there is."""
    given = BENCH[DEVICE]
    model = (
        {"model_dir": BENCH_SHAPE, "model_name": Path(BENCH_SHAPE).name, "load_format": "dummy"}
        if BENCH_SHAPE
        else {"model_dir": "results/data/model", "model_name": config["model"]["name"]}
    )
    repeats = {name: BENCH[name] for name in ("seed", "repeats", "most_repeats", "tolerance_pct")}
    found = flags({**model, **repeats, **given["engine"], **given[workload]})

    def with_prompts(wildcards):
        trace = bench_trace(wildcards)
        return found + (flags({"prompts": "sharegpt", "trace": trace}) if trace else [])

    return with_prompts


def python_files():
    """The code whose size and complexity are counted."""
    found = [Path(existing("plan.code_quality", path)) for path in BENCH["code_quality"]]
    return sorted({str(file) for path in found for file in (path.rglob("*.py") if path.is_dir() else [path])})


def bench_files():
    """The plan's results that the report tells of."""
    return [
        "results/plan/code_quality.json",
        *[f"results/plan/{DEVICE}/{test}.json" for test in BENCH_TESTS],
    ]


def bench_documents():
    """The provenance documents of those that run vLLM."""
    jobs = []
    for name in BENCH["tests"]:
        job, prompts = name.removesuffix(SHAREGPT), SHAREGPT if name.endswith(SHAREGPT) else ""
        stem = f"plan_pair.{DEVICE}.{job}" if job in BENCH_PAIRS else f"plan_{job}.{DEVICE}"
        jobs.append(f"results/plan/{stem}{prompts}.prov.json")
    return jobs
