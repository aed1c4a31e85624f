"""The scripts: what they write fits its schemas, is the same again, and says so where vLLM is missing."""

import os
import subprocess
import sys
from pathlib import Path

import oracle_replay as oracle
import pytest
import replay_compare as compare
import replay_figures as scheduling_figures
import replay_mini as mini

from vllm_lab.common.figure_names import FIGURES
from vllm_lab.common.files import read_json
from vllm_lab.provenance import schemas
from vllm_lab.traces.trace import Trace

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "workflow/schemas"
VERSIONS = ("v1_naive", "v2_lru", "v3_priority", "v4_prefix")
BLOCKS = {"ample": "100", "scarce": "12"}
FLAGS = ("--block-size", "4", "--max-num-batched-tokens", "64", "--max-num-seqs", "8", "--clock", "1,0.1,0")
MEMORY = [word for name, blocks in BLOCKS.items() for word in ("--memory", name, blocks)]
CHECKED = {".steps.jsonl": "steps", ".requests.csv": "replayed_requests", ".json": "replay"}


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    """Six requests that begin alike, too many for the scarce memory, and one that never fits."""
    path = tmp_path_factory.mktemp("trace") / "multi_turn_trace.parquet"
    prompts = [[*range(10), *range(100 * n, 100 * n + 4)] for n in range(6)] + [[7] * 60]
    outputs = [[9] * 8] * 6 + [[9]]
    Trace.from_requests(prompts, outputs, [0.0, 0.0, 1.0, 1.0, 2.0, 9.0, 9.0]).write(path)
    return path


def replay_all(trace, folder, oracle_command):
    """Both scripts, as the rules call them; the records' paths."""
    records = []
    for version in VERSIONS:
        for memory, blocks in BLOCKS.items():
            stem = folder / f"{version}.multi_turn.{memory}"
            files = ("--steps", f"{stem}.steps.jsonl", "--requests", f"{stem}.requests.csv")
            mini.main(
                ["--version", version, "--trace", str(trace), "--num-blocks", blocks, *FLAGS, *files,
                 "--record", f"{stem}.json"]
            )  # fmt: skip
            records.append(f"{stem}.json")
    oracle_command(["--trace", str(trace), *MEMORY, *FLAGS, "--outdir", str(folder)])
    names = (f"vllm_{caching}" for caching in ("uncached", "cached"))
    return records + [f"{folder / name}.multi_turn.{memory}.json" for name in names for memory in BLOCKS]


def without_vllm(arguments):
    """scripts/oracle_replay.py in an interpreter in which vLLM cannot be imported."""
    code = "import sys; sys.modules['vllm'] = None; import oracle_replay; oracle_replay.main()"
    environment = {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT / 'scripts'}"}
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, env=environment)


def compare_and_draw(records, trace, folder):
    comparison = folder / "comparison.json"
    compare.main(["--records", *records, "--output", str(comparison)])
    figures = folder / "figures"
    scheduling_figures.main(
        [
            "--records",
            *records,
            "--comparison",
            str(comparison),
            "--trace",
            str(trace),
            "--outdir",
            str(figures),
        ]
    )
    for record in records:
        for ending, schema in CHECKED.items():
            file = Path(record.removesuffix(".json") + ending)
            schemas.check(file, SCHEMAS / f"{schema}.schema.yaml")
    schemas.check(comparison, SCHEMAS / "comparison.schema.yaml")
    return read_json(comparison)["runs"]


def test_replays_comparison_and_figures_fit_their_schemas_and_are_the_same_again(trace, tmp_path):
    pytest.importorskip("vllm")
    for name in ("one", "two"):
        folder = tmp_path / name
        runs = compare_and_draw(replay_all(trace, folder, oracle.main), trace, folder)
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.*")} for name in ("one", "two")
    )
    assert one == two
    assert {run["version"] for run in runs if run["equal"] and run["memory"] == "scarce"} == {
        "v3_priority",
        "v4_prefix",
    }
    assert [run["memory"] for run in runs if run["crash"]] == ["scarce"]
    record = read_json(tmp_path / "one/vllm_cached.multi_turn.scarce.json")
    assert [refusal["request_id"] for refusal in record["refused"]] == ["r6"]
    assert record["metrics"]["preemptions"] > 0
    figures = {path.name for path in (tmp_path / "one/figures").iterdir()}
    assert figures == {f"{name}.{kind}" for name in FIGURES["replay"] for kind in ("png", "svg")}


def test_without_vllm_the_oracle_is_not_run_and_all_else_goes_on(trace, tmp_path):
    runs = compare_and_draw(replay_all(trace, tmp_path, without_vllm), trace, tmp_path)
    assert {run["status"] for run in runs} == {"not_run"}
    assert all("vLLM is not installed" in run["reason"] for run in runs)
    record = read_json(tmp_path / "vllm_cached.multi_turn.scarce.json")
    assert (record["status"], record["limits"]["num_blocks"]) == ("not_run", 12)
    assert (tmp_path / "figures/divergence.svg").stat().st_size > 1000
