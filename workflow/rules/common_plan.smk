# The benchmark plan. The table of its tests is src/vllm_lab/plan/tests.py. A test runs on generated prompts or, with
# _sharegpt behind its name, on those of the trace.
from vllm_lab.plan import tests as plan

PLAN = config["plan"]
PLAN_TESTS = [test for choice in PLAN["tests"] for test in plan.chosen(choice)]
PLAN_SHAPE = PLAN[DEVICE]["dummy_weights_of"]
PROMPTS = f"|{plan.SUFFIX}"


def plan_model():
    """The configured model, or the config.json whose shape the plan's dummy weights have."""
    if PLAN_SHAPE:
        return [existing(f"plan.{DEVICE}.dummy_weights_of", f"{PLAN_SHAPE}/config.json")]
    return [rules.data_model.output.config, *rules.data_model.output.weights]


def plan_trace(wildcards):
    """The trace that the prompts come from, unless they are generated."""
    return "results/traces/multi_turn_trace.parquet" if wildcards.prompts else []


def plan_flags(workload):
    """Model, engine, repeats, prompts and workload of a test of the plan, on the configured device."""
    given = PLAN[DEVICE]
    model = (
        {"model_dir": PLAN_SHAPE, "model_name": Path(PLAN_SHAPE).name, "load_format": "dummy"}
        if PLAN_SHAPE
        else {"model_dir": "results/data/model", "model_name": config["model"]["name"]}
    )
    repeats = {name: PLAN[name] for name in ("seed", "repeats", "most_repeats", "tolerance_pct")}
    found = flags({**model, **repeats, **given["engine"], **given[workload]})

    def with_prompts(wildcards):
        trace = plan_trace(wildcards)
        return found + (flags({"prompts": "sharegpt", "trace": trace}) if trace else [])

    return with_prompts


def python_files():
    """The code whose size and complexity are counted."""
    found = [Path(existing("plan.code_quality", path)) for path in PLAN["code_quality"]]
    return sorted({str(file) for path in found for file in (path.rglob("*.py") if path.is_dir() else [path])})


def plan_files():
    """The plan's results that the report shows."""
    return [
        "results/plan/code_quality.json",
        *[f"results/plan/{DEVICE}/{test}.json" for test in PLAN_TESTS],
    ]


def plan_documents():
    """The provenance documents of the jobs that run vLLM."""
    jobs = []
    for choice in PLAN["tests"]:
        kind = plan.find(plan.chosen(choice)[0]).kind
        job = f".{choice}" if kind == "pair" else choice.removeprefix(kind)
        jobs.append(f"results/plan/plan_{kind}.{DEVICE}{job}.prov.json")
    return jobs
