# Predictions, written and pinned before a run, are compared with what happened: one set of jobs for each
# experiments/NAME.yaml. Values of `run` are NAME.RUN.


rule experiments_run:
    """a run of an experiment in virtual time"""
    input:
        **needs("experiments_run", "steps", "replayed_requests", "replay", vllm=True),
        trace=experiment_trace,
    output:
        steps="results/experiments/{run}.steps.jsonl",
        requests="results/experiments/{run}.requests.csv",
        record="results/experiments/{run}.json",
        events="results/experiments/{run}.events.txt",
        prov="results/experiments/experiments_run.{run}.prov.json",
    log:
        "results/logs/experiments_run.{run}.log",
    benchmark:
        "results/timings/experiments_run.{run}.tsv"
    wildcard_constraints:
        run=any_of(SIMULATED_RUNS),
    conda:
        VLLM_ENVIRONMENT
    container:
        VLLM_CONTAINER
    params:
        flags=experiment_flags,
    message:
        "Running {wildcards.run} in virtual time"
    shell:
        traced(
            "experiments_run",
            "--trace {input.trace:q} {params.flags:q} --steps {output.steps:q}"
            " --requests {output.requests:q} --record {output.record:q} --events {output.events:q}",
            wildcards=["run"],
            kind="simulated",
        )


rule experiments_real:
    """a run of an experiment on real vLLM"""
    input:
        TOKENIZER,
        **needs("experiments_real", "steps", "replayed_requests", "replay", vllm=True),
        trace=experiment_trace,
        model=rules.data_model.output.config,
        weights=rules.data_model.output.weights,
    output:
        steps="results/experiments/{run}.steps.jsonl",
        requests="results/experiments/{run}.requests.csv",
        record="results/experiments/{run}.json",
        events="results/experiments/{run}.events.txt",
        prov="results/experiments/experiments_real.{run}.prov.json",
    log:
        "results/logs/experiments_real.{run}.log",
    benchmark:
        "results/timings/experiments_real.{run}.tsv"
    wildcard_constraints:
        run=any_of(REAL_RUNS),
    conda:
        VLLM_ENVIRONMENT
    container:
        VLLM_CONTAINER
    threads: ALL_CORES
    resources:
        **measured(),
    params:
        flags=experiment_flags,
        repeats=config["experiments"]["repeats"],
        device=DEVICE,
    message:
        "Running {wildcards.run} on real vLLM"
    shell:
        traced(
            "experiments_real",
            "--model-dir results/data/model --device {params.device}"
            " --repeats {params.repeats} --trace {input.trace:q} {params.flags:q}"
            " --steps {output.steps:q} --requests {output.requests:q} --record {output.record:q}"
            " --events {output.events:q}",
            wildcards=["run"],
            kind="measured",
        )


rule experiments_verdict:
    """the verdicts on an experiment's predictions"""
    input:
        lambda wildcards: files.experiment(EXPERIMENTS[wildcards.experiment]),
        **needs("experiments_verdict", "verdict", "experiment"),
        experiment="experiments/{experiment}.yaml",
        pins="experiments/pins.txt",
    output:
        verdict=report(
            "results/experiments/{experiment}.verdict.json",
            caption="../report/verdict.rst",
            category="Experiments",
        ),
        prov="results/experiments/experiments_verdict.{experiment}.prov.json",
    log:
        "results/logs/experiments_verdict.{experiment}.log",
    benchmark:
        "results/timings/experiments_verdict.{experiment}.tsv"
    wildcard_constraints:
        experiment=any_of(EXPERIMENTS),
    localrule: True
    conda:
        ENVIRONMENT
    params:
        kind=lambda wildcards: kind_of(EXPERIMENTS[wildcards.experiment].runs),
    message:
        "Judging the predictions of {wildcards.experiment}"
    shell:
        traced(
            "experiments_verdict",
            "--experiment {input.experiment:q} --pins {input.pins:q}"
            " --runs results/experiments --captures results/nsight --output {output.verdict:q}",
            wildcards=["experiment"],
            kind="{params.kind}",
        )


rule experiments_progress:
    """all experiments at a glance: PROGRESS.md"""
    input:
        **needs("experiments_progress"),
        verdicts=expand("results/experiments/{experiment}.verdict.json", experiment=EXPERIMENTS),
    output:
        progress=report(
            "results/report/PROGRESS.md", caption="../report/progress.rst", category="Experiments"
        ),
        prov="results/experiments/experiments_progress.prov.json",
    log:
        "results/logs/experiments_progress.log",
    benchmark:
        "results/timings/experiments_progress.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        kind=kind_of(RUNS),
    message:
        "Writing PROGRESS.md"
    shell:
        traced(
            "experiments_progress",
            "--verdicts {input.verdicts:q} --output {output.progress:q}",
            kind="{params.kind}",
        )
