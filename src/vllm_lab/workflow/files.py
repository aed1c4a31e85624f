"""The files that rules read and make, and the jobs of the report, from configuration and experiments.

All paths are relative to the project's root, which is the working directory.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from pathlib import Path

from mini_vllm.tools.versions import VERSIONS
from vllm_lab.common.errors import LabError
from vllm_lab.common.figure_names import FIGURES
from vllm_lab.experiments.spec import Experiment, Run
from vllm_lab.plan import tests as plan
from vllm_lab.traces.formats import EXPORTS
from vllm_lab.workflow.flags import Config

MODES = ("single_turn", "multi_turn")  # the traces made of conversations
IMPORTED_VERSION = "v4_prefix"  # the version of mini-vLLM that replays imported traces
PUBLISHED = "mooncake_conversation"  # the imported trace whose hit rates are published
CACHING = ("uncached", "cached")  # vLLM's own scheduler, without and with its prefix cache
Jobs = Iterator[tuple[str, list[str]]]


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


def given(section: Config) -> list[str]:
    """The user's own file, or the files of the user's own folder, where the section's source is `path`."""
    if section["source"] != "path":
        return []
    own = Path(section["path"])
    return [str(file) for file in sorted(own.iterdir()) if file.is_file()] if own.is_dir() else [str(own)]


def template(config: Config) -> list[str]:
    """The user's own chat template, where the configuration names a file."""
    given = config["traces"]["chat_template"]
    return [given] if given.endswith(".jinja") else []


def exports(config: Config) -> list[str]:
    """A file for each trace and each configured format that can hold the trace."""
    imported = sorted(config["traces"]["imported"])
    return [
        f"results/traces/exports/{format.file(trace)}"
        for trace in (*MODES, *imported)
        for format in (EXPORTS[name] for name in config["exports"]["formats"])
        if trace in MODES or format.of_blocks
    ]


def figures(folder: str, names: Iterable[str] | None = None) -> list[str]:
    """The figures (all that FIGURES lists, or those named) of a folder of results, below results/."""
    listed = FIGURES[folder] if names is None else names
    return [f"{folder}/figures/{name}.{kind}" for name in listed for kind in ("png", "svg")]


def sharing_tables(trace: str) -> list[str]:
    """The statistics and tables of one trace, in the order in which the figures' script takes them."""
    tables = ("stats.json", "request_metrics.csv", "block_metrics.csv", "reuse_gaps.csv", "working_set.csv")
    return [f"results/sharing/{trace}_{table}" for table in tables]


def replays(config: Config, *kinds: str) -> list[str]:
    """The files of every replay of mini-vLLM and of vLLM's scheduler, by trace, memory and engine."""
    engines = [f"replay/{version}" for version in VERSIONS] + [f"oracle/vllm_{c}" for c in CACHING]
    return [
        f"results/{engine}.{trace}.{memory}.{kind}"
        for trace, memory, engine, kind in product(MODES, config["replay"]["num_blocks"], engines, kinds)
    ]


def code(paths: Iterable[str]) -> list[str]:
    """The Python files at the given paths, folders searched."""
    found = [file for path in map(Path, paths) for file in (path.rglob("*.py") if path.is_dir() else [path])]
    return sorted({str(file) for file in found})


def project() -> list[str]:
    """The project's own files, without its tests: what a copy needs to run, and its licence and citation."""
    names = [
        "Snakefile", "config.yaml", "pyproject.toml", "Makefile", "README.md", "LICENSE", "CITATION.cff"
    ]  # fmt: skip
    folders = ("profiles", "workflow", "scripts", "src", "envs", "experiments", "resources")
    files = [path for folder in folders for path in Path(folder).rglob("*") if path.is_file()]
    generated = ("__pycache__", ".egg-info", ".sif")  # the last is a container image
    own = [str(path) for path in files if not any(part.endswith(generated) for part in path.parts)]
    return sorted(names + own)


def plan_tests(config: Config) -> list[str]:
    """The ids of the plan's tests that the configuration asks for."""
    return [test for choice in config["plan"]["tests"] for test in plan.chosen(choice)]


def plan_results(config: Config, device: str) -> list[str]:
    """The plan's results that the report shows."""
    tests = [f"results/plan/{device}/{test}.json" for test in plan_tests(config)]
    return ["results/plan/code_quality.json", *tests]


def runs_of(experiments: Mapping[str, Experiment]) -> dict[str, Run]:
    """EXPERIMENT.RUN -> the run, of all experiments."""
    return {f"{name}.{run}": found for name, e in experiments.items() for run, found in e.runs.items()}


def experiment(experiment: Experiment) -> list[str]:
    """The files that the runs of an experiment write."""
    endings = ("json", "steps.jsonl", "requests.csv", "events.txt")
    stem, runs = f"results/experiments/{experiment.name}", experiment.runs
    files = [f"{stem}.{run}.{ending}" for run in runs for ending in endings]
    captured = [name for name, run in runs.items() if run.is_captured]
    return files + [f"results/nsight/{experiment.name}.{name}.json" for name in captured]


def bundled() -> list[str]:
    """Results measured elsewhere and their documents, from merged bundles. No rule makes them."""
    return sorted(str(path) for path in Path("results/bundles").rglob("*") if path.is_file())


def report_results(config: Config, device: str, experiments: Mapping[str, Experiment]) -> list[str]:
    """The results that the report shows."""
    made = [f"results/{file}" for _, files in report_jobs(config, device, experiments) for file in files]
    return made + [path for path in bundled() if not path.endswith(".prov.json")]


def report_documents(config: Config, device: str, experiments: Mapping[str, Experiment]) -> list[str]:
    """The provenance documents of all jobs behind the report."""
    made = [f"results/{job}.prov.json" for job, _ in report_jobs(config, device, experiments)]
    return made + [path for path in bundled() if path.endswith(".prov.json")]


def report_jobs(config: Config, device: str, experiments: Mapping[str, Experiment]) -> Jobs:
    """Every job behind the report: its document, without the ending, and its results that the report shows.

    Both are paths below results/. A rule whose results the report shows needs a line here.
    """
    yield from _traces(config)
    yield from _replays(config)
    yield "cost_model/cost_model_measure", []
    yield "cost_model/cost_model_fit", ["cost_model/fit.json"]
    yield "cost_model/cost_model_figures", figures("cost_model")
    yield from _plan(config, device)
    yield "load/load_sweep", []
    yield "load/load_predict", ["load/load.json"]
    yield "load/load_figures", figures("load")
    yield (
        f"tracing/tracing_calls.{device}",
        [f"tracing/{device}/{kind}.json" for kind in ("simple", "detailed")],
    )
    yield f"tracing/tracing_kernels.{device}", [f"tracing/{device}/kernels.json"]
    yield from _experiments(experiments)
    yield "provenance/provenance_configuration", ["provenance/configuration.json"]


def _traces(config: Config) -> Jobs:
    """The jobs from the raw data to the sharing of the traces."""
    imported = sorted(config["traces"]["imported"])
    yield "data/data_sharegpt", []
    yield "data/data_conversations", ["data/rejects.json"]
    yield "data/model/data_model", ["data/model/summary.json"]
    yield "traces/traces_tokens", ["traces/streams_summary.json"]
    for mode in MODES:
        yield f"traces/traces_make.{mode}", []
        if config["traces"]["jsonl"]:
            yield f"traces/traces_jsonl.{mode}", [f"traces/{mode}_trace.jsonl"]
    for name in imported:
        yield f"traces/traces_import.{name}", []
    yield "traces/traces_summary", ["traces/summary.json"]
    yield "traces/exports/traces_exports", ["traces/exports/index.json"]
    for trace in (*MODES, *imported):
        yield f"sharing/sharing_analysis.{trace}", [f"sharing/{trace}_stats.json"]
        yield f"sharing/sweeps/sharing_sweep.{trace}", []
    yield "sharing/sharing_figures", figures("sharing")
    yield "sharing/sharing_reference", ["sharing/reference.json"]
    yield "sharing/sweeps/sharing_sweep_table", ["sharing/sweeps/hit_rates.csv"]
    yield "sharing/sweeps/sharing_sweep_figures", figures("sharing/sweeps")
    if PUBLISHED in imported:
        yield "sharing/sweeps/sharing_published", ["sharing/sweeps/mooncake_published.json"]


def _replays(config: Config) -> Jobs:
    """The jobs of mini-vLLM and of vLLM's scheduler."""
    memories = config["replay"]["num_blocks"]
    for version, trace, memory in product(VERSIONS, MODES, memories):
        run = f"{version}.{trace}.{memory}"
        yield f"replay/replay_mini.{run}", [f"replay/{run}.json"]
    for trace, memory in product(sorted(config["traces"]["imported"]), memories):
        run = f"{IMPORTED_VERSION}.{trace}.{memory}"
        yield f"replay/replay_mini_imported.{run}", [f"replay/{run}.json"]
    for trace in MODES:
        runs = [f"vllm_{caching}.{trace}.{memory}" for caching in CACHING for memory in memories]
        yield f"oracle/oracle_replay.{trace}", [f"oracle/{run}.json" for run in runs]
    yield "replay/replay_compare", ["replay/comparison.json"]
    yield "replay/replay_figures", figures("replay")


def _plan(config: Config, device: str) -> Jobs:
    """The jobs of the benchmark plan."""
    yield "plan/plan_code_quality", ["plan/code_quality.json"]
    for choice in config["plan"]["tests"]:
        tests = plan.chosen(choice)
        kind = plan.find(tests[0]).kind
        job = f".{choice}" if kind == "pair" else choice.removeprefix(kind)
        yield f"plan/plan_{kind}.{device}{job}", [f"plan/{device}/{test}.json" for test in tests]
    if tests := plan_tests(config):
        yield "plan/plan_figures", figures("plan", tests)


def _experiments(experiments: Mapping[str, Experiment]) -> Jobs:
    """The jobs of the runs of experiments, of their captures and of their verdicts."""
    runs = runs_of(experiments)
    for name, run in runs.items():
        stage, _ = run.rule.split("_")
        yield f"{stage}/{run.rule}.{name}", [f"experiments/{name}.json"]
        if run.is_captured:
            yield f"nsight/nsight_metrics.{name}", [f"nsight/{name}.json"]
    if any(run.is_captured for run in runs.values()):
        yield "nsight/nsight_figures", figures("nsight")
    for name in experiments:
        yield f"experiments/experiments_verdict.{name}", [f"experiments/{name}.verdict.json"]
    yield "experiments/experiments_progress", ["report/PROGRESS.md"]
