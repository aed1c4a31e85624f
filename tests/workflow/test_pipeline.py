"""The small pipeline end to end, on real conversations."""

import json
import os
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.browser.chromium import installed, visit
from tests.workflow.conftest import Project
from tests.workflow.repeatable import repeatable
from vllm_lab.common.files import sha256_file
from vllm_lab.common.schema import load
from vllm_lab.provenance import documents
from vllm_lab.provenance.verify import verify

pytestmark = pytest.mark.pipeline

ROOT = Path(__file__).parents[2]
EXCERPT = "tests/fixtures/sharegpt_excerpt.json"
HUB = {"repo": "me/mine", "revision": "0" * 40, "file": "data.json"}


def test_every_file_is_covered_by_one_document_and_every_hash_fits(finished):
    assert verify(finished.root) == []


def test_every_document_fits_its_schema(finished):
    schema = load(ROOT / "workflow/schemas/provenance.schema.yaml")
    validator = Draft202012Validator(schema)
    found = documents.find(finished.root / "results")
    assert found
    for path in found:
        errors = [error.message for error in validator.iter_errors(json.loads(path.read_text()))]
        assert not errors, f"{path}: {errors}"


def test_a_second_run_has_nothing_to_do(finished):
    assert finished.planned() == set()


@pytest.fixture(scope="module")
def elsewhere(finished, tmp_path_factory) -> tuple[Project, str]:
    """Another run, without what is measured, and all that Snakemake says of it: another folder, time zone,
    locale, hash seed and number of cores."""
    other = shutil.copytree(
        finished.root,
        tmp_path_factory.mktemp("elsewhere") / "deeper",
        ignore=shutil.ignore_patterns("results", ".snakemake"),
    )
    where = {"TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "77"}
    run = Project(other).snakemake(*repeatable(finished.root), "--verbose", where=("--cores", "1"), **where)
    return Project(other), run.stdout


def test_another_run_elsewhere_gives_the_same_bytes_and_identities(finished, elsewhere):
    first, second = repeatable(finished.root), repeatable(elsewhere[0].root)
    assert first.keys() == second.keys()
    assert [path for path in first if first[path] != second[path]] == []
    one, two = documents.collect(finished.root), documents.collect(elsewhere[0].root)
    assert {path for path in first if one[path].digest != two[path].digest} == set()


def test_snakemake_looks_seldom_through_the_waiting_jobs_while_others_are_measured(elsewhere):
    """By the default profile: every 3 s, not every second, for each job that has ended."""
    assert "Submitting maximum 300 job(s) over 3.0 second(s)." in elsewhere[1]


@pytest.mark.browser
@pytest.mark.skipif(installed() is None, reason="chromium is not installed: apt-get install chromium")
def test_the_page_opens_in_a_browser_without_a_console_line_and_asks_for_nothing(finished, tmp_path):
    seen = visit(finished.root / "results/report/index.html", tmp_path)
    assert (seen.console, seen.requests) == ([], [])
    assert "What fraction of prefill can prefix caching save" in seen.dom


def test_the_summary_s_numbers_stand_in_the_files_they_name(finished):
    summary = json.loads((finished.root / "results/report/summary.json").read_text())
    saved = summary["sharing.multi_turn.saved_prefill_fraction"]
    stats = json.loads((finished.root / saved["file"]).read_text())
    assert saved["value"] == stats["metrics"]["saved_prefill_fraction"]
    measured = {"measured"} if find_spec("vllm") or shutil.which("nsys") else set()
    kinds = {"deterministic", "simulated", "derived", "not_run"} | measured
    assert {entry["status"] for entry in summary.values()} == kinds


def test_scarce_memory_ends_v1_makes_the_others_preempt_and_v3_and_v4_do_as_vllm_does(finished):
    for trace in ("single_turn", "multi_turn"):
        records = {
            version: json.loads((finished.root / f"results/replay/{version}.{trace}.scarce.json").read_text())
            for version in ("v1_naive", "v2_lru", "v3_priority", "v4_prefix")
        }
        assert records["v1_naive"]["crash"]
        assert all(records[version]["metrics"]["preemptions"] for version in records if version != "v1_naive")
    if find_spec("vllm"):
        runs = json.loads((finished.root / "results/replay/comparison.json").read_text())["runs"]
        exact = [run for run in runs if run["version"] in ("v3_priority", "v4_prefix")]
        assert len(exact) == 8
        assert all(run["equal"] and run["equal_steps"] for run in exact)


def test_the_real_models_calls_are_those_of_its_configuration(finished):
    pytest.importorskip("vllm")
    folder = finished.root / f"results/tracing/{'cuda' if shutil.which('nvidia-smi') else 'cpu'}"
    simple, detailed, kernels = (
        json.loads((folder / f"{tool}.json").read_text()) for tool in ("simple", "detailed", "kernels")
    )
    assert {found["status"] for found in (simple, detailed, kernels)} == {"measured"}
    expected = {row["kind"]: row["calls"] for row in simple["check"]["kinds"]}
    assert (expected["norm"], expected["attention"], expected["linear"]) == (61, 30, 120)
    for found in (simple, detailed):
        assert found["check"]["findings"] == []
        assert all(row["holds"] for row in found["check"]["kinds"])
    assert all(found["answer"].startswith(" Paris.") for found in (simple, detailed, kernels))
    assert {row["class"] for row in kernels["classes"]} >= {"gemm", "attention", "norm", "cache_write"}


NEW_EXPERIMENT = """
title: A smaller budget
question: Does a smaller token budget keep long prompts from delaying the others?
trace: multi_turn
settings: {requests: 30, num_blocks: 2000}
runs:
  mini:
    small: {engine: v4_prefix, max_num_batched_tokens: 256}
    large: {engine: v4_prefix, max_num_batched_tokens: 8192}
predictions:
  - {id: more_steps, statement: It takes more steps., why: Prompts come in chunks., metric: small.steps,
     relation: more than, value: large.steps}
"""


def test_an_experiment_of_your_own_needs_no_code(project):
    (project.root / "experiments/exp005.yaml").write_text(NEW_EXPERIMENT)
    assert project.planned() == {
        "experiments_mini",
        "experiments_verdict",
        "experiments_progress",
        "report_render",
    }
    project.snakemake("report")
    page = (project.root / "results/report/report.md").read_text()
    assert "EXP-005: A smaller budget" in page
    progress = (project.root / "results/report/PROGRESS.md").read_text()
    assert "| **confirmed** | It takes more steps. |" in progress
    assert "EXP-005: A smaller budget | 0 | 1 | 0 | unpinned |" in progress


def test_a_learned_aha_reruns_no_experiment(project):
    experiment = project.root / "experiments/exp001.yaml"
    experiment.write_text(experiment.read_text().replace("aha: >-", "aha: >-\n  I see."))
    assert project.planned() == {"experiments_verdict", "experiments_progress", "report_render"}


def test_the_real_engine_schedules_as_the_mini_does(finished):
    verdict = json.loads((finished.root / "results/experiments/exp003.verdict.json").read_text())
    comparison = verdict["comparisons"]["real_exact"]
    if find_spec("vllm"):
        assert comparison["equal_steps"] > 0
        assert comparison["differing_steps"] == 0
        assert not comparison["times_compared"]
    else:
        assert comparison["status"] == "not_run"


def test_a_profiler_changes_no_decision_and_what_lacks_a_gpu_is_not_run(finished):
    document = json.loads((finished.root / "results/experiments/exp004.verdict.json").read_text())
    comparison = document["comparisons"]["exact"]
    verdicts = {entry["id"]: entry["verdict"] for entry in document["predictions"]}
    if find_spec("vllm") and shutil.which("nsys"):
        assert comparison["equal_steps"] > 0
        assert comparison["differing_steps"] == 0
        assert verdicts["mostly_forward"] != "not_run"
    else:
        assert comparison["status"] == "not_run"
    if not shutil.which("nvidia-smi"):
        assert verdicts["graphs_help_decode"] == verdicts["gpu_waits"] == "not_run"


def test_snakemakes_own_report_can_be_made(finished, tmp_path):
    finished.snakemake("--report", str(tmp_path / "snakemake.html"))
    page = (tmp_path / "snakemake.html").read_text()
    assert "Cache sweeps" in page
    assert "Scheduling" in page
    assert "Prefix sharing" in page


def test_a_file_of_your_own_runs_through_the_pipeline(project, tmp_path):
    """Source `path`: other conversations, the same model."""
    own = tmp_path / "mine.jsonl"
    turns = [{"from": "human", "value": "Say it again. " * 20}, {"from": "gpt", "value": "It again."}] * 3
    own.write_text("".join(json.dumps({"id": f"c{n}_0", "conversations": turns}) + "\n" for n in range(5)))
    settings = json.dumps({"sharegpt": {"source": "path", "path": str(own)}})
    project.snakemake("results/sharing/multi_turn_stats.json", settings=settings)
    stats = json.loads((project.root / "results/sharing/multi_turn_stats.json").read_text())
    assert stats["requests"] == 15
    assert stats["metrics"]["saved_prefill_fraction"] > 0.8


def test_data_from_a_hub_and_a_model_from_a_folder_run_through_the_pipeline(finished, project, tmp_path):
    """Source `hub` of the data against a local server, source `path` of the model."""
    hub = {**HUB, "sha256": sha256_file(ROOT / EXCERPT)}
    served = tmp_path / "hub/datasets" / hub["repo"] / "resolve" / hub["revision"] / hub["file"]
    served.parent.mkdir(parents=True)
    shutil.copyfile(ROOT / EXCERPT, served)
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path / "hub")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hub["endpoint"] = f"http://127.0.0.1:{server.server_port}"
        checkpoint = tmp_path / "checkpoint"
        shutil.copytree(finished.root / "results/data/model", checkpoint)
        settings = {
            "sharegpt": {"source": "hub", "hub": hub},
            "model": {"source": "path", "path": str(checkpoint)},
        }
        project.snakemake("results/traces/streams_summary.json", settings=json.dumps(settings))
        server.shutdown()
    assert (project.root / "results/data/sharegpt.json").read_bytes() == served.read_bytes()
    assert json.loads((project.root / "results/data/model/summary.json").read_text())["source"] == "path"
    rejects = json.loads((project.root / "results/data/rejects.json").read_text())
    assert rejects["rules"]["truncated_record"]["count"] == 1


def test_every_output_can_be_asked_for_by_its_path(finished):
    paths = sorted(documents.collect(finished.root))
    text = finished.snakemake("--dry-run", *paths).stdout
    assert "Nothing to be done" in text


def test_the_report_refuses_a_changed_result_and_names_it(project):
    stats = project.root / "results/sharing/multi_turn_stats.json"
    stat = stats.stat()
    body = stats.read_bytes()
    stats.write_bytes(body.replace(b"1", b"2", 1))
    os.utime(stats, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (project.root / "results/report/index.html").unlink()
    done = project.snakemake("report", check=False)
    assert done.returncode != 0
    assert "results/sharing/multi_turn_stats.json: changed" in done.stdout
    assert not (project.root / "results/report/index.html").exists()


def test_a_wrong_key_ends_with_one_line_before_anything_runs(finished):
    done = finished.snakemake("report", settings="speed: 3", check=False)
    assert done.returncode != 0
    lines = [line for line in done.stdout.splitlines() if "config:" in line]
    assert len(lines) == 1
    assert lines[0].startswith("config: speed: no such key")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("sharegpt: {source: path, path: nowhere.json}", "config: sharegpt.path: nowhere.json: no such file"),
        ("model: {source: path, path: nowhere}", "config: model.path: nowhere: no such file"),
        (
            "traces: {chat_template: nowhere.jinja}",
            "config: traces.chat_template: nowhere.jinja: no such file",
        ),
        (
            "traces: {imported: {mooncake_conversation: {path: nowhere.jsonl}}}",
            "config: traces.imported.mooncake_conversation.path: nowhere.jsonl: no such file",
        ),
    ],
)
def test_a_path_that_is_not_there_is_named_and_kept_results_are_not_taken_for_it(finished, settings, message):
    done = finished.snakemake("report", "--dry-run", settings=settings, check=False)
    assert done.returncode != 0
    assert message in done.stdout
