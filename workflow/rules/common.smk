# What all rules share. What is computed from the configuration alone is in src/vllm_lab/workflow/.

import json
import os
import shutil
import sys
from pathlib import Path

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "src"))

from mini_vllm.tools.versions import VERSIONS
from vllm_lab.common import schema
from vllm_lab.common.errors import LabError
from vllm_lab.experiments.spec import Experiment
from vllm_lab.plan.tests import SUFFIX, TESTS
from vllm_lab.provenance.upstream import code_of
from vllm_lab.workflow import files, flags

# Jobs run this environment's python and this checkout's modules, whatever else is on the path. Their output goes to
# their logs, and to the terminal too unless a logger plugin (--logger rich) draws there.
os.environ.update(
    PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]),
    PYTHONPATH=str(ROOT / "src"),
    VLLM_LAB_ECHO="no" if workflow.output_settings.log_handler_settings else "yes",
)

try:
    schema.check(config, ROOT / "workflow/schemas/config.schema.yaml")
    DEVICE = config["device"]
    if DEVICE == "auto":
        DEVICE = "cuda" if shutil.which("nvidia-smi") else "cpu"
    files.check_paths(config, DEVICE)
    EXPERIMENTS = {path.stem: Experiment.read(path) for path in sorted(Path("experiments").glob("*.yaml"))}
except LabError as error:
    raise SystemExit(str(error)) from None

# The lock that all rules depend on. Rules with vLLM also depend on the device's lock, and use its environment.
LOCK = "envs/core.lock"
ENVIRONMENT = "../../envs/core.yaml"
VLLM_LOCK = f"envs/{DEVICE}.lock"
VLLM_ENVIRONMENT = f"../../envs/{DEVICE}.yaml"
VLLM_CONTAINER = "envs/cuda.sif" if DEVICE == "cuda" else None  # for --sdm apptainer; envs/cuda.def makes it

# The threads of a measurement: all that this machine gives, so that no other job runs at the same time. Where jobs
# go to a cluster (no --cores), the configured number of a node's cores.
CLUSTER = config["cluster"]
ALL_CORES = workflow.resource_settings.cores or CLUSTER["cores"]

TOKENIZER = [
    f"results/data/model/{name}"
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
]

IMPORTED = sorted(config["traces"]["imported"])
TRACES = [*files.MODES, *IMPORTED]
MEMORY = list(config["replay"]["num_blocks"])
PLAN_TESTS = files.plan_tests(config)

# The runs of the experiments, as EXPERIMENT.RUN.
RUNS = files.runs_of(EXPERIMENTS)
CAPTURED_RUNS = [name for name, run in RUNS.items() if run.is_captured]


def any_of(names):
    """The constraint of a wildcard that takes one of the names; without any names it takes nothing."""
    return "|".join(names) or "(?!)"


# What these wildcards may be, in all rules. Others mean something else in each rule.
wildcard_constraints:
    device=DEVICE,
    experiment=any_of(EXPERIMENTS),
    imported=any_of(IMPORTED),
    memory=any_of(MEMORY),
    mode=any_of(files.MODES),
    prompts=f"|{SUFFIX}",
    version=any_of(VERSIONS),


def needs(rule, *schemas, vllm=False):
    """The inputs of every rule, namely its code, its environment's locks and the schemas of its outputs.

    The code is scripts/RULE.py and every module of this project that it imports. A change in one of these files
    reruns the rule. The wrapper knows from each schema which outputs it covers.
    """
    return {
        "code": code_of(f"scripts/{rule}.py", ROOT),
        "lock": [LOCK, VLLM_LOCK] if vllm else LOCK,
        "schemas": [f"workflow/schemas/{name}.schema.yaml" for name in schemas],
    }


def drawn(folder, caption, category, names=None):
    """The figures of results/FOLDER, as PNG and SVG. Snakemake's own report shows the PNG files with a caption."""
    made = [f"results/{path}" for path in files.figures(folder, names)]
    shown = [path for path in made if path.endswith(".png")]
    others = [path for path in made if path not in shown]
    return [*report(shown, caption=f"../report/{caption}.rst", category=category), *others]


def traced(script, arguments, kind="deterministic", wildcards=()):
    """The command of scripts/SCRIPT.py inside the wrapper that checks the outputs and writes the provenance document.

    Every rule that makes something runs through it, with the inputs that `needs` gives and with its document as
    output `prov`, from whose name the wrapper takes the rule's. The wrapper checks every JSON, CSV and Parquet output
    against the schema that covers it.
    """
    given = "".join(f" --wildcard {name}={{wildcards.{name}}}" for name in wildcards)
    return (
        f"python -m vllm_lab.provenance run --kind {kind}{given} --inputs {{input:q}} --environment {{input.lock:q}}"
        " --schemas {input.schemas:q} --outputs {output:q} --document {output.prov:q} --threads {threads} --log {log:q}"
        f" -- python scripts/{script}.py {arguments}"
    )


def measured(gpus=1):
    """The resources of a measurement: GPUs if the device is one (a number, or a function of the wildcards), memory
    (MB), time (minutes) and, on a cluster, a node to itself. On one machine ALL_CORES keeps other jobs away.
    """
    asked = {"mem_mb": CLUSTER["mem_mb"], "runtime": CLUSTER["runtime"]}
    if CLUSTER["exclusive"]:
        asked["slurm_extra"] = "--exclusive"
    if DEVICE == "cuda":
        asked["gpu"] = gpus
        if CLUSTER["gpu_model"]:
            asked["gpu_model"] = CLUSTER["gpu_model"]
    return asked


def plan_model():
    """The configured model, or the config.json whose shape the plan's dummy weights have."""
    shape = config["plan"][DEVICE]["dummy_weights_of"]
    if shape:
        return [f"{shape}/config.json"]
    return [rules.data_model.output.config, *rules.data_model.output.weights]


def plan_trace(wildcards):
    """The trace that the prompts of a test come from; nothing where the prompts are generated."""
    return "results/traces/multi_turn_trace.parquet" if wildcards.prompts else []


def runs_made_by(rule):
    """The constraint of wildcard `run` in a rule that makes runs of experiments."""
    return any_of(name for name, run in RUNS.items() if run.rule == rule)


def experiment_trace(wildcards):
    """The trace that a run of an experiment replays."""
    return f"results/traces/{EXPERIMENTS[wildcards.run.split('.')[0]].trace}_trace.parquet"


def experiment_flags(wildcards):
    """Engine, workload and limits of a run of an experiment."""
    return RUNS[wildcards.run].flags


def kind_of(runs):
    """The kind of a result made from runs of experiments: measured if one of them ran a real engine."""
    return "measured" if any(run.is_real or run.is_captured for run in runs.values()) else "simulated"
