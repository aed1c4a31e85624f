# What a step of real vLLM costs on this machine.


rule calibrate:
    input:
        TOKENIZER,
        trace="results/traces/multi_turn_trace.parquet",
        model=rules.model.output.config,
        weights=rules.model.output.weights,
        code=code("calibrate"),
        lock=[LOCK, VLLM_LOCK],
        cost_model_schema=schema("cost_model"),
        calibration_schema=schema("calibration"),
        steps_schema=schema("calibration_steps"),
        heldout_schema=schema("calibration_heldout"),
    output:
        cost_model="results/calibration/cost_model.json",
        calibration="results/calibration/calibration.json",
        steps="results/calibration/steps.csv",
        heldout="results/calibration/heldout.csv",
        prov="results/calibration/calibrate.prov.json",
    log:
        "results/logs/calibrate.log",
    benchmark:
        "results/benchmarks/calibrate.tsv"
    conda:
        VLLM_ENVIRONMENT
    container:
        VLLM_CONTAINER
    threads: ALL_CORES
    resources:
        **measured(),
    params:
        device=DEVICE,
        flags=flags(config["calibration"]),
    message:
        "Fitting the cost model of a step to vLLM ({params.device})"
    shell:
        traced(
            "calibrate",
            "scripts/calibrate.py --trace {input.trace:q} --model-dir results/model --device {params.device}"
            " {params.flags:q} --cost-model {output.cost_model:q} --output {output.calibration:q}"
            " --steps {output.steps:q} --heldout {output.heldout:q}",
            checked=["cost_model", "calibration", "steps", "heldout"],
            kind="measured",
        )


rule calibration_figures:
    input:
        calibration="results/calibration/calibration.json",
        steps="results/calibration/steps.csv",
        heldout="results/calibration/heldout.csv",
        code=code("calibration_figures"),
        lock=LOCK,
    output:
        report(
            expand("results/calibration/figures/{name}.png", name=CALIBRATION_FIGURES),
            caption="../report/calibration_figures.rst",
            category="Cost model",
        ),
        expand("results/calibration/figures/{name}.svg", name=CALIBRATION_FIGURES),
        prov="results/calibration/calibration_figures.prov.json",
    log:
        "results/logs/calibration_figures.log",
    benchmark:
        "results/benchmarks/calibration_figures.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    message:
        "Drawing predicted against measured"
    shell:
        traced(
            "calibration_figures",
            "scripts/calibration_figures.py --calibration {input.calibration:q} --steps {input.steps:q}"
            " --heldout {input.heldout:q} --outdir results/calibration/figures",
            kind="measured",
        )
