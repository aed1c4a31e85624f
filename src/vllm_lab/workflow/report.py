"""What the report is made of: the jobs behind it, their documents, and the results that it shows."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import product

from mini_vllm.tools.versions import VERSIONS
from vllm_lab.common.figure_names import FIGURES
from vllm_lab.experiments.spec import Experiment
from vllm_lab.plan import tests as plan
from vllm_lab.workflow.files import CACHING, MODES, bundled_files, plan_tests, runs_of
from vllm_lab.workflow.flags import Config

IMPORTED_VERSION = "v4_prefix"  # the version of mini-vLLM that replays imported traces
PUBLISHED = "mooncake_conversation"  # the imported trace whose hit rates are published
Jobs = Iterator[tuple[str, list[str]]]


def report_files(config: Config, device: str, experiments: Mapping[str, Experiment]) -> list[str]:
    """The results that the report shows."""
    made = [f"results/{file}" for _, files in report_jobs(config, device, experiments) for file in files]
    return made + [path for path in bundled_files() if not path.endswith(".prov.json")]


def report_documents(config: Config, device: str, experiments: Mapping[str, Experiment]) -> list[str]:
    """The provenance documents of all jobs behind the report."""
    made = [f"results/{job}.prov.json" for job, _ in report_jobs(config, device, experiments)]
    return made + [path for path in bundled_files() if path.endswith(".prov.json")]


def report_jobs(config: Config, device: str, experiments: Mapping[str, Experiment]) -> Jobs:
    """Every job behind the report: its document, without the ending, and its results that the report shows.

    Both lie below results/. A rule whose results the report shows needs a line here.
    """
    yield from _traces(config)
    yield from _replays(config)
    yield "cost_model/cost_model_measure", []
    yield "cost_model/cost_model_fit", ["cost_model/fit.json"]
    yield "cost_model/cost_model_figures", _figures("cost_model")
    yield from _plan(config, device)
    yield "load/load_sweep", []
    yield "load/load_predict", ["load/load.json"]
    yield "load/load_figures", _figures("load")
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
    yield "sharing/sharing_figures", _figures("sharing")
    yield "sharing/sharing_reference", ["sharing/reference.json"]
    yield "sharing/sweeps/sharing_sweep_table", ["sharing/sweeps/hit_rates.csv"]
    yield "sharing/sweeps/sharing_sweep_figures", _figures("sharing/sweeps")
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
    yield "replay/replay_figures", _figures("replay")


def _plan(config: Config, device: str) -> Jobs:
    """The jobs of the benchmark plan."""
    yield "plan/plan_code_quality", ["plan/code_quality.json"]
    for choice in config["plan"]["tests"]:
        tests = plan.chosen(choice)
        kind = plan.find(tests[0]).kind
        job = f".{choice}" if kind == "pair" else choice.removeprefix(kind)
        yield f"plan/plan_{kind}.{device}{job}", [f"plan/{device}/{test}.json" for test in tests]
    yield "plan/plan_figures", _drawn("plan", plan_tests(config))


def _experiments(experiments: Mapping[str, Experiment]) -> Jobs:
    """The jobs of the runs of experiments, of their captures and of their verdicts."""
    captured = []
    for name, run in runs_of(experiments).items():
        record = [f"experiments/{name}.json"]
        if not run.is_captured:
            yield f"experiments/experiments_{'real' if run.is_real else 'run'}.{name}", record
            continue
        captured.append(name)
        yield f"nsight/nsight_{'vllm' if run.is_real else 'mini'}.{name}", record
        yield f"nsight/nsight_metrics.{name}", [f"nsight/{name}.json"]
    if captured:
        yield "nsight/nsight_figures", _figures("nsight")
    for name in experiments:
        yield f"experiments/experiments_verdict.{name}", [f"experiments/{name}.verdict.json"]
    yield "experiments/experiments_progress", ["report/PROGRESS.md"]


def _figures(folder: str) -> list[str]:
    return _drawn(folder, FIGURES[folder])


def _drawn(folder: str, names: Iterable[str]) -> list[str]:
    return [f"{folder}/figures/{name}.{kind}" for name in names for kind in ("png", "svg")]
