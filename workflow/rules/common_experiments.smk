# What experiments ask for, run by run.

RUNS = {f"{name}.{run}": found for name, e in EXPERIMENTS.items() for run, found in e.runs.items()}
CAPTURED_RUNS = [name for name, run in RUNS.items() if run.is_captured]
CAPTURED_MINI_RUNS = [name for name in CAPTURED_RUNS if not RUNS[name].is_real]
CAPTURED_VLLM_RUNS = [name for name in CAPTURED_RUNS if RUNS[name].is_real]
REAL_RUNS = [name for name, run in RUNS.items() if run.is_real and not run.is_captured]
SIMULATED_RUNS = [name for name in RUNS if name not in CAPTURED_RUNS + REAL_RUNS]


def any_of(names):
    """The pattern of a wildcard that is one of the names. Of no names, it fits nothing."""
    return "|".join(names) or "(?!)"


def experiment_trace(wildcards):
    """The trace that an experiment's run replays."""
    return f"results/traces/{EXPERIMENTS[wildcards.run.split('.')[0]].trace}_trace.parquet"


def experiment_flags(wildcards):
    """Engine, workload and limits of an experiment's run."""
    return RUNS[wildcards.run].flags


def experiment_files(wildcards):
    """What the runs of an experiment leave."""
    endings = ("json", "steps.jsonl", "requests.csv", "events.txt")
    runs = EXPERIMENTS[wildcards.experiment].runs
    files = [
        f"results/experiments/{wildcards.experiment}.{run}.{ending}" for run in runs for ending in endings
    ]
    return files + [
        f"results/nsight/{wildcards.experiment}.{name}.json" for name, run in runs.items() if run.is_captured
    ]


def experiment_kind(wildcards):
    """measured, if a run of the experiment is real or captured."""
    runs = EXPERIMENTS[wildcards.experiment].runs.values()
    return "measured" if any(run.is_real or run.is_captured for run in runs) else "simulated"
