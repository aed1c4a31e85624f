# The functions that rules use are here and in common_*.smk, nowhere else.

import json
import os
import shutil
import sys
from pathlib import Path

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "src"))

from mini_vllm.tools.versions import VERSIONS
from vllm_lab.common import config as configuration
from vllm_lab.common.errors import LabError
from vllm_lab.experiments.spec import Experiment
from vllm_lab.traces.exports.formats import FORMATS
from vllm_lab.provenance.sources import code_of

# Jobs run this environment's python and this checkout's modules, whatever else is on the path. What they say goes to
# their logs, and to the terminal too unless a logger plugin (--logger rich) draws there.
os.environ.update(
    PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]),
    PYTHONPATH=str(ROOT / "src"),
    VLLM_LAB_ECHO="no" if workflow.output_settings.log_handler_settings else "yes",
)

try:
    configuration.check(config, ROOT / "workflow/schemas/config.schema.yaml")
    EXPERIMENTS = {path.stem: Experiment.read(path) for path in sorted(Path("experiments").glob("*.yaml"))}
except LabError as error:
    raise SystemExit(str(error)) from None

# The lock that all rules depend on. Rules with vLLM have the device's beside it, and its environment.
LOCK = "envs/core.lock"
ENVIRONMENT = "../../envs/core.yaml"
DEVICE = config["device"]
if DEVICE == "auto":
    DEVICE = "cuda" if shutil.which("nvidia-smi") else "cpu"
VLLM_LOCK = f"envs/{DEVICE}.lock"
VLLM_ENVIRONMENT = f"../../envs/{DEVICE}.yaml"
VLLM_CONTAINER = "envs/cuda.sif" if DEVICE == "cuda" else None  # for --sdm apptainer; envs/cuda.def makes it

# Threads for measurements. All that this machine gives, so that no job runs beside them; where jobs go to a cluster
# (no --cores), so many of a node's.
CLUSTER = config["cluster"]
ALL_CORES = workflow.resource_settings.cores or CLUSTER["cores"]

TOKENIZER = [
    f"results/data/model/{name}"
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
]

MODES = ["single_turn", "multi_turn"]
IMPORTED = sorted(config["traces"]["imported"])
TRACES = MODES + IMPORTED


def needs(rule, *schemas, vllm=False):
    """The inputs that every rule has: its code, its environment's locks and the schemas of its outputs.

    The code is scripts/RULE.py and every module of this project that it imports. A change in one of these files
    reruns the rule. The wrapper knows from each schema which outputs it covers.
    """
    return {
        "code": code_of(f"scripts/{rule}.py", ROOT),
        "lock": [LOCK, VLLM_LOCK] if vllm else LOCK,
        "schemas": [f"workflow/schemas/{name}.schema.yaml" for name in schemas],
    }


def drawn(folder, names, caption, category):
    """Figures as PNG and SVG files. Snakemake's own report shows the PNG files with a caption of workflow/report/."""
    shown = report(
        expand("{folder}/{name}.png", folder=folder, name=names),
        caption=f"../report/{caption}.rst",
        category=category,
    )
    return [*shown, *expand("{folder}/{name}.svg", folder=folder, name=names)]


def project_files():
    """The project's own files, but for its tests: what a copy needs to run, and what says whose it is."""
    names = ["Snakefile", "config.yaml", "pyproject.toml", "Makefile", "README.md", "LICENSE", "CITATION.cff"]
    folders = ("profiles", "workflow", "scripts", "src", "envs", "experiments", "resources")
    files = [path for folder in folders for path in Path(folder).rglob("*") if path.is_file()]
    generated = ("__pycache__", ".egg-info")
    own = [str(path) for path in files if not any(part.endswith(generated) for part in path.parts)]
    return sorted(names + own)


def traced(rule, arguments, kind="deterministic", wildcards=()):
    """The command of scripts/RULE.py inside the wrapper that checks the outputs and writes the provenance document.

    Every rule that makes something runs through it, with the inputs that `needs` gives and its document as output
    `prov`. The wrapper checks every JSON, CSV and Parquet output against the schema that covers it.
    """
    given = "".join(f" --wildcard {name}={{wildcards.{name}}}" for name in wildcards)
    return (
        f"python -m vllm_lab.provenance run --rule {rule} --kind {kind}{given}"
        " --inputs {input:q} --environment {input.lock:q}"
        " --outputs {output:q} --document {output.prov:q} --threads {threads} --log {log:q}"
        f" -- python scripts/{rule}.py {arguments}"
    )


def measured(gpus=1):
    """Resources of what measures vLLM: GPUs where the device is one (a number, or a function of the wildcards),
    memory (MB), time (minutes) and, on a cluster, a node to itself. On one machine ALL_CORES keeps others away.
    """
    asked = {"mem_mb": CLUSTER["mem_mb"], "runtime": CLUSTER["runtime"]}
    if CLUSTER["exclusive"]:
        asked["slurm_extra"] = "--exclusive"
    if DEVICE == "cuda":
        asked["gpu"] = gpus
        if CLUSTER["gpu_model"]:
            asked["gpu_model"] = CLUSTER["gpu_model"]
    return asked


def flags(values):
    """A mapping as command line flags: lists repeat the value, True gives the bare flag, False and '' nothing."""
    words = []
    for name, value in values.items():
        if value is False or value == "":
            continue
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words += [str(item) for item in (value if isinstance(value, list) else [value])]
    return words


def source_flags(section):
    """`--source X` and the flags of that source, of a config section with one entry for each source."""
    source = config[section]["source"]
    given = config[section][source]
    return flags({"source": source, **(given if isinstance(given, dict) else {"path": given})})


def existing(key, path):
    """A path that the configuration gives under `key`. It must be there: without its input, Snakemake would take
    a rule's kept outputs for given files and silently go on with them."""
    if not Path(path).exists():
        raise SystemExit(f"config: {key}: {path}: no such file or folder")
    return path


def given_files(section):
    """The user's own file, or the files of the user's own folder, where the section's source is `path`."""
    if config[section]["source"] != "path":
        return []
    own = Path(existing(f"{section}.path", config[section]["path"]))
    return [str(file) for file in sorted(own.iterdir()) if file.is_file()] if own.is_dir() else [str(own)]


def template_file():
    """The user's own chat template, where the configuration names a file."""
    given = config["traces"]["chat_template"]
    return [existing("traces.chat_template", given)] if given.endswith(".jinja") else []


TEMPLATE_FLAGS = flags({key: config["traces"][key] for key in ("chat_template", "default_system_prompt")})


def selection_flags():
    """Which conversations become requests."""
    return flags(config["traces"]["conversations"])


def trace_flags():
    """Which conversations become requests, and when these arrive."""
    traces = config["traces"]
    return selection_flags() + flags(
        {
            "seed": traces["seed"],
            "rate": traces["rate"],
            "think_time": traces["think_time"]["seconds"],
            "think_distribution": traces["think_time"]["distribution"],
            "over_context": traces["over_context"],
            "priorities": [f"{priority}:{share}" for priority, share in traces["priorities"].items()],
        }
    )


def imported_file(wildcards):
    """The file of a trace of somebody else's."""
    name = wildcards.imported
    return existing(f"traces.imported.{name}.path", config["traces"]["imported"][name]["path"])


def imported_flags(wildcards):
    """Format, file and block size of a trace of somebody else's."""
    given = config["traces"]["imported"][wildcards.imported]
    return flags({"format": given["format"], "input": given["path"], "block_tokens": given["block_tokens"]})


def export_files():
    """A file for each trace and each configured format that can tell it."""
    formats = [FORMATS[name] for name in config["exports"]["formats"]]
    return [
        f"results/traces/exports/{format.file(trace)}"
        for trace in TRACES
        for format in formats
        if trace in MODES or format.imported
    ]


def sweep_flags(wildcards):
    """Block sizes, capacities and policies; a trace of blocks brings its own block size."""
    sweep = config["sweep"]
    if wildcards.trace in IMPORTED:
        sizes = {"capacities_blocks": sweep["imported_capacities_blocks"]}
    else:
        sizes = {
            "block_sizes": config["sharing"]["block_sizes"],
            "capacities_tokens": sweep["capacities_tokens"],
        }
    return flags({**sizes, "policies": sweep["policies"]})


def sharing_tables(trace):
    """The statistics and tables of one trace, in the order in which the figures' script takes them."""
    tables = ("stats.json", "request_metrics.csv", "block_metrics.csv", "reuse_gaps.csv", "working_set.csv")
    return [f"results/sharing/{trace}_{table}" for table in tables]


# Who replays: mini-vLLM's VERSIONS, and vLLM's own scheduler with and without its prefix cache.
CACHING = ["uncached", "cached"]
MEMORY = list(config["replay"]["num_blocks"])


def limit_flags(limit=config["replay"]["requests"], block_size=config["replay"]["block_size"]):
    """How much of a trace is replayed (0: all), and under which limits and clock."""
    simulation = config["replay"]
    names = ("max_num_seqs", "max_num_batched_tokens", "policy")
    clock = ",".join(str(simulation["clock"][part]) for part in ("base", "per_token", "per_request"))
    limits = {"block_size": block_size, **{name: simulation[name] for name in names}}
    return flags({"limit": limit or False, **limits, "clock": clock})


def imported_limit_flags(wildcards):
    """The same for a trace of somebody else's: all of it, in blocks of its own."""
    return limit_flags(0, config["traces"]["imported"][wildcards.imported]["block_tokens"])


def run_files(*kinds):
    """The files of every replay, in the order of traces, memories and engines."""
    engines = [f"replay/{version}" for version in VERSIONS] + [
        f"oracle/vllm_{caching}" for caching in CACHING
    ]
    return expand(
        "results/{engine}.{trace}.{memory}.{kind}", trace=MODES, memory=MEMORY, engine=engines, kind=kinds
    )
