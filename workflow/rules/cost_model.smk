# What a step of real vLLM costs on this machine.


rule cost_model_measure:
    input:
        TOKENIZER,
        trace="results/traces/multi_turn_trace.parquet",
        model=rules.data_model.output.config,
        weights=rules.data_model.output.weights,
        code=code("cost_model_measure"),
        lock=[LOCK, VLLM_LOCK],
        cost_model_schema=schema("cost_model"),
        calibration_schema=schema("calibration"),
        steps_schema=schema("calibration_steps"),
        heldout_schema=schema("calibration_heldout"),
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
            "scripts/cost_model_measure.py --trace {input.trace:q} --model-dir results/data/model --device {params.device}"
            " {params.flags:q} --cost-model {output.cost_model:q} --output {output.calibration:q}"
            " --steps {output.steps:q} --heldout {output.heldout:q}",
            checked=["cost_model", "calibration", "steps", "heldout"],
            kind="measured",
        )


rule cost_model_figures:
    input:
        calibration="results/cost_model/calibration.json",
        steps="results/cost_model/steps.csv",
        heldout="results/cost_model/heldout.csv",
        code=code("cost_model_figures"),
        lock=LOCK,
    output:
        report(
            expand("results/cost_model/figures/{name}.png", name=CALIBRATION_FIGURES),
            caption="../report/cost_model_figures.rst",
            category="Cost model",
        ),
        expand("results/cost_model/figures/{name}.svg", name=CALIBRATION_FIGURES),
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
            "scripts/cost_model_figures.py --calibration {input.calibration:q} --steps {input.steps:q}"
            " --heldout {input.heldout:q} --outdir results/cost_model/figures",
            kind="measured",
        )
