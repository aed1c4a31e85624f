# What a step of real vLLM costs on this machine.


rule cost_model_measure:
    input:
        TOKENIZER,
        **needs(
            "cost_model_measure",
            "cost_model",
            "calibration",
            "calibration_steps",
            "calibration_heldout",
            vllm=True,
        ),
        trace="results/traces/multi_turn_trace.parquet",
        model=rules.data_model.output.config,
        weights=rules.data_model.output.weights,
    output:
        cost_model="results/cost_model/cost_model.json",
        calibration="results/cost_model/calibration.json",
        steps="results/cost_model/steps.csv",
        heldout="results/cost_model/heldout.csv",
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
        flags=flags(config["cost_model"]),
    message:
        "Fitting the cost model of a step to vLLM ({params.device})"
    shell:
        traced(
            "cost_model_measure",
            "--trace {input.trace:q} --model-dir results/data/model --device {params.device}"
            " {params.flags:q} --cost-model {output.cost_model:q} --output {output.calibration:q}"
            " --steps {output.steps:q} --heldout {output.heldout:q}",
            kind="measured",
        )


rule cost_model_figures:
    input:
        **needs("cost_model_figures"),
        calibration="results/cost_model/calibration.json",
        steps="results/cost_model/steps.csv",
        heldout="results/cost_model/heldout.csv",
    output:
        *drawn(
            "results/cost_model/figures",
            CALIBRATION_FIGURES,
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
            "--calibration {input.calibration:q} --steps {input.steps:q}"
            " --heldout {input.heldout:q} --outdir results/cost_model/figures",
            kind="measured",
        )
