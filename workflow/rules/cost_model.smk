# What a step of real vLLM costs on this machine: measured, then fitted.


rule cost_model_measure:
    """the steps of real vLLM, measured"""
    input:
        TOKENIZER,
        **needs("cost_model_measure", "cost_model_measure", vllm=True),
        trace="results/traces/multi_turn_trace.parquet",
        model=rules.data_model.output.config,
        weights=rules.data_model.output.weights,
    output:
        measurements="results/cost_model/measurements.json",
        prov="results/cost_model/cost_model_measure.prov.json",
    log:
        "results/logs/cost_model_measure.log",
    benchmark:
        "results/timings/cost_model_measure.tsv"
    conda:
        VLLM_ENVIRONMENT
    container:
        VLLM_CONTAINER
    threads: ALL_CORES
    resources:
        **measured(),
    params:
        device=DEVICE,
        flags=flags.of(config["cost_model"]),
    message:
        "Measuring the steps of vLLM ({params.device})"
    shell:
        traced(
            "cost_model_measure",
            "--trace {input.trace:q} --model-dir results/data/model --device {params.device} {params.flags:q}"
            " --output {output.measurements:q}",
            kind="measured",
        )


rule cost_model_fit:
    """the cost model fitted to the measured steps, with its errors"""
    input:
        **needs(
            "cost_model_fit",
            "cost_model",
            "cost_model_fit",
            "cost_model_steps",
            "cost_model_heldout",
            "document",
        ),
        measurements="results/cost_model/measurements.json",
    output:
        cost_model="results/cost_model/cost_model.json",
        fit="results/cost_model/fit.json",
        steps="results/cost_model/steps.csv",
        heldout="results/cost_model/heldout.csv",
        prov="results/cost_model/cost_model_fit.prov.json",
    log:
        "results/logs/cost_model_fit.log",
    benchmark:
        "results/timings/cost_model_fit.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    message:
        "Fitting the cost model of a step"
    shell:
        traced(
            "cost_model_fit",
            "--measurements {input.measurements:q} --cost-model {output.cost_model:q} --output {output.fit:q}"
            " --steps {output.steps:q} --heldout {output.heldout:q}",
            kind="measured",
        )


rule cost_model_figures:
    """predicted against measured times"""
    input:
        **needs("cost_model_figures"),
        fit="results/cost_model/fit.json",
        steps="results/cost_model/steps.csv",
        heldout="results/cost_model/heldout.csv",
    output:
        *drawn(
            "cost_model",
            caption="cost_model_figures",
            category="Cost model",
        ),
        prov="results/cost_model/cost_model_figures.prov.json",
    log:
        "results/logs/cost_model_figures.log",
    benchmark:
        "results/timings/cost_model_figures.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    message:
        "Drawing predicted against measured"
    shell:
        traced(
            "cost_model_figures",
            "--fit {input.fit:q} --steps {input.steps:q} --heldout {input.heldout:q}"
            " --outdir results/cost_model/figures",
            kind="measured",
        )
