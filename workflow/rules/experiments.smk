# Predictions, written and pinned before a run, are compared with what happened: one set of jobs for each
# experiments/NAME.yaml. Values of `run` are NAME.RUN.

RUN_SCHEMAS = ("steps", "replayed_requests", "replay")


rule experiments_mini:
    """a run of an experiment through a version of mini-vLLM"""
    input:
        **needs("experiments_mini", *RUN_SCHEMAS),
        trace=experiment_trace,
    output:
        steps="results/experiments/{run}.steps.jsonl",
        requests="results/experiments/{run}.requests.csv",
        record="results/experiments/{run}.json",
        events="results/experiments/{run}.events.txt",
        prov="results/experiments/experiments_mini.{run}.prov.json",
    log:
        "results/logs/experiments_mini.{run}.log",
    benchmark:
        "results/timings/experiments_mini.{run}.tsv"
    wildcard_constraints:
        run=runs_made_by("experiments_mini"),
    conda:
        ENVIRONMENT
    params:
        script="experiments_mini",
        flags=experiment_flags,
    message:
        "Running {wildcards.run} in virtual time"
    shell:
        traced(
            "{params.script}",
            "--trace {input.trace:q} {params.flags:q} --steps {output.steps:q}"
            " --requests {output.requests:q} --record {output.record:q} --events {output.events:q}",
            wildcards=["run"],
            kind="simulated",
        )


RUN_FILES = {name: str(path) for name, path in rules.experiments_mini.output.items() if name != "prov"}


use rule experiments_mini as experiments_oracle with:
    """a run of an experiment through vLLM's own scheduler"""
    input:
        **needs("experiments_oracle", *RUN_SCHEMAS, vllm=True),
        trace=experiment_trace,
    output:
        **RUN_FILES,
        prov="results/experiments/experiments_oracle.{run}.prov.json",
    log:
        "results/logs/experiments_oracle.{run}.log",
    benchmark:
        "results/timings/experiments_oracle.{run}.tsv"
    wildcard_constraints:
        run=runs_made_by("experiments_oracle"),
    conda:
        VLLM_ENVIRONMENT
    container:
        VLLM_CONTAINER
    params:
        script="experiments_oracle",
        flags=experiment_flags,


rule experiments_real:
    """a run of an experiment on real vLLM"""
    input:
        TOKENIZER,
        **needs("experiments_real", *RUN_SCHEMAS, vllm=True),
        trace=experiment_trace,
        model=rules.data_model.output.config,
        weights=rules.data_model.output.weights,
    output:
        **RUN_FILES,
        prov="results/experiments/experiments_real.{run}.prov.json",
    log:
        "results/logs/experiments_real.{run}.log",
    benchmark:
        "results/timings/experiments_real.{run}.tsv"
    wildcard_constraints:
        run=runs_made_by("experiments_real"),
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
