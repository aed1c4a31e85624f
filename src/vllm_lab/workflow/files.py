"""The files that rules read and make, from the configuration and the experiments.

All paths are relative to the project's root, which is the working directory.
"""

from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path

from mini_vllm.tools.versions import VERSIONS
from vllm_lab.common.errors import LabError
from vllm_lab.experiments.spec import Experiment, Run
from vllm_lab.plan import tests as plan
from vllm_lab.traces.formats import EXPORTS
from vllm_lab.workflow.flags import Config

MODES = ("single_turn", "multi_turn")  # the traces made of conversations
CACHING = ("uncached", "cached")  # vLLM's own scheduler, without and with its prefix cache


def check_paths(config: Config, device: str) -> None:
    """LabError for a path of the configuration where no file or folder is.

    Without this check, Snakemake would take a rule's kept outputs for given files, and use them silently.
    """
    paths = {
        f"{section}.path": config[section]["path"]
        for section in ("sharegpt", "model")
        if config[section]["source"] == "path"
    }
    if config["traces"]["chat_template"].endswith(".jinja"):
        paths["traces.chat_template"] = config["traces"]["chat_template"]
    for name, trace in config["traces"]["imported"].items():
        paths[f"traces.imported.{name}.path"] = trace["path"]
    if shape := config["plan"][device]["dummy_weights_of"]:
        paths[f"plan.{device}.dummy_weights_of"] = f"{shape}/config.json"
    paths |= {f"plan.code_quality.{n}": path for n, path in enumerate(config["plan"]["code_quality"])}
    for key, path in paths.items():
        if not Path(path).exists():
            raise LabError(f"config: {key}: {path}: no such file or folder")


def given_files(section: Config) -> list[str]:
    """The user's own file, or the files of the user's own folder, where the section's source is `path`."""
    if section["source"] != "path":
        return []
    own = Path(section["path"])
    return [str(file) for file in sorted(own.iterdir()) if file.is_file()] if own.is_dir() else [str(own)]


def template_file(config: Config) -> list[str]:
    """The user's own chat template, where the configuration names a file."""
    given = config["traces"]["chat_template"]
    return [given] if given.endswith(".jinja") else []


def export_files(config: Config) -> list[str]:
    """A file for each trace and each configured format that can hold the trace."""
    imported = sorted(config["traces"]["imported"])
    return [
        f"results/traces/exports/{format.file(trace)}"
        for trace in (*MODES, *imported)
        for format in (EXPORTS[name] for name in config["exports"]["formats"])
        if trace in MODES or format.of_blocks
    ]


def sharing_tables(trace: str) -> list[str]:
    """The statistics and tables of one trace, in the order in which the figures' script takes them."""
    tables = ("stats.json", "request_metrics.csv", "block_metrics.csv", "reuse_gaps.csv", "working_set.csv")
    return [f"results/sharing/{trace}_{table}" for table in tables]


def replay_files(config: Config, *kinds: str) -> list[str]:
    """The files of every replay of mini-vLLM and of vLLM's scheduler, by trace, memory and engine."""
    engines = [f"replay/{version}" for version in VERSIONS] + [f"oracle/vllm_{c}" for c in CACHING]
    return [
        f"results/{engine}.{trace}.{memory}.{kind}"
        for trace, memory, engine, kind in product(MODES, config["replay"]["num_blocks"], engines, kinds)
    ]


def code_files(paths: Iterable[str]) -> list[str]:
    """The Python files at the given paths, folders searched."""
    found = [file for path in map(Path, paths) for file in (path.rglob("*.py") if path.is_dir() else [path])]
    return sorted({str(file) for file in found})


def project_files() -> list[str]:
    """The project's own files, without its tests: what a copy needs to run, and its licence and citation."""
    names = [
        "Snakefile", "config.yaml", "pyproject.toml", "Makefile", "README.md", "LICENSE", "CITATION.cff"
    ]  # fmt: skip
    folders = ("profiles", "workflow", "scripts", "src", "envs", "experiments", "resources")
    files = [path for folder in folders for path in Path(folder).rglob("*") if path.is_file()]
    generated = ("__pycache__", ".egg-info")
    own = [str(path) for path in files if not any(part.endswith(generated) for part in path.parts)]
    return sorted(names + own)


def plan_tests(config: Config) -> list[str]:
    """The ids of the plan's tests that the configuration asks for."""
    return [test for choice in config["plan"]["tests"] for test in plan.chosen(choice)]


def plan_files(config: Config, device: str) -> list[str]:
    """The plan's results that the report shows."""
    tests = [f"results/plan/{device}/{test}.json" for test in plan_tests(config)]
    return ["results/plan/code_quality.json", *tests]


def runs_of(experiments: Mapping[str, Experiment]) -> dict[str, Run]:
    """EXPERIMENT.RUN -> the run, of all experiments."""
    return {f"{name}.{run}": found for name, e in experiments.items() for run, found in e.runs.items()}


def experiment_files(experiment: Experiment) -> list[str]:
    """What the runs of an experiment leave behind."""
    endings = ("json", "steps.jsonl", "requests.csv", "events.txt")
    stem, runs = f"results/experiments/{experiment.name}", experiment.runs
    files = [f"{stem}.{run}.{ending}" for run in runs for ending in endings]
    captured = [name for name, run in runs.items() if run.is_captured]
    return files + [f"results/nsight/{experiment.name}.{name}.json" for name in captured]


def bundled_files() -> list[str]:
    """Results measured elsewhere and their documents, from merged bundles. No rule makes them."""
    return sorted(str(path) for path in Path("results/bundles").rglob("*") if path.is_file())
