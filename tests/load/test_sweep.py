"""A whole sweep, its document, table and figure: against mini-vLLM's server, and where there is none."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from mini_vllm.clock import CostModel
from tests.cost_model.traces import trace_of
from tests.server.conftest import mini_server
from vllm_lab.common.files import write_json
from vllm_lab.load import result
from vllm_lab.load.measurements import Sweep, content_of
from vllm_lab.load.sweep import MODEL, sweep
from vllm_lab.measure import workload
from vllm_lab.measure.document import raw_document
from vllm_lab.provenance.schemas import check
from vllm_lab.provenance.upstream import code_of
from vllm_lab.replay.replay import TracedRequest, requests_of
from vllm_lab.sharing.analysis import SharedTokens

ROOT = Path(__file__).parents[2]
ENGINE = {"num_blocks": 200, "block_size": 16, "max_num_seqs": 256, "max_num_batched_tokens": 8192}
PARAMETERS = {"requests": 6, "repeats": 2, "rates": [20.0, 40.0], **ENGINE}
SCHEMAS = {"sweep.json": "load_sweep", "load.json": "load", "requests.csv": "load_requests"}


class RunningServer:
    """A server that runs already; its cache is not emptied, so the second repeat finds more."""

    def __init__(self, url: str, dies_after: int = 99) -> None:
        self.url = url
        self.exit_status = None
        self.replays_left = dies_after

    def forget(self) -> None:
        self.replays_left -= 1
        if self.replays_left < 0:
            self.exit_status = -9
            raise httpx.ConnectError("refused")

    def environment(self) -> dict:
        return {"device": "cpu", "vllm": "0.0"}


def document_of(found: Sweep, folder: Path) -> dict:
    """Store a sweep and run the scripts on it: the document. All files are checked, the figure is drawn."""
    pytest.importorskip("vllm")  # its scheduler predicts
    write_json(folder / "sweep.json", raw_document("cpu", PARAMETERS, lambda: content_of(found)))
    write_json(folder / "cost_model.json", CostModel(0.001, 0.0, 0.0, 0.0)._asdict())
    return predict(folder)


def predict(folder: Path) -> dict:
    """Run the scripts on sweep.json; the document."""
    files = "--sweep sweep.json --cost-model cost_model.json --output load.json --requests-table requests.csv"
    run("load_predict", folder, f"{files} --limit-ttft 1 --limit-tpot 1 --limit-e2e 9 --turn-factor 2")
    for name, schema in SCHEMAS.items():
        check(folder / name, ROOT / f"workflow/schemas/{schema}.schema.yaml")
    run("load_figures", folder, f"--load load.json --outdir {folder}")
    assert (folder / "latency_over_rate.png").stat().st_size
    assert (folder / "latency_over_rate.svg").stat().st_size
    return json.loads((folder / "load.json").read_text())


def run(name: str, folder: Path, words: str) -> None:
    """Run a script. Every word with a dot is a file in `folder`."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"scripts/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main([str(folder / word) if "." in word else word for word in words.split()])


@pytest.fixture(scope="module")
def url():
    limits = ("--num-blocks", "200", "--block-size", "16", "--clock", "0.001,0,0")
    with mini_server("--model", MODEL, *limits) as found:
        yield found


def test_every_rate_and_repeat_is_measured_and_hits_are_what_sharing_predicts(url, requests, tmp_path):
    found = sweep(RunningServer(url), requests, [20.0, 40.0], repeats=2, timeout=30)
    document = document_of(found, tmp_path)
    assert [(run["rate"], run["repeat"]) for run in document["runs"]] == [
        (20.0, 0), (40.0, 0), (20.0, 1), (40.0, 1),
    ]  # fmt: skip
    assert [row["metrics"]["completed"] for row in document["rates"]] == [6, 6]
    hits = document["rates"][0]["hit_tokens"]
    assert hits["measured"] == hits["reported_to_clients"]
    assert hits["scheduler"] == hits["sharing_of_prompts"] == hits["sharing_with_outputs"] == 4 * 32
    assert document["verification"]["runs"] == 2


def test_a_server_that_dies_in_a_sweep_leaves_the_replays_before_and_its_errors(url, requests, tmp_path):
    found = sweep(RunningServer(url, dies_after=1), requests, [20.0, 40.0], repeats=1, timeout=30)
    document = document_of(found, tmp_path)
    assert [row["rate"] for row in document["rates"]] == [20.0]
    assert document["runs"][1]["metrics"] is None
    assert "has ended with -9: refused" in document["runs"][1]["problem"]
    assert document["server_exit_status"] == -9


def test_a_server_that_is_dead_from_the_start_of_the_sweep_is_reported_too(url, requests, tmp_path):
    document = document_of(sweep(RunningServer(url, 0), requests, [20.0], 1, 30), tmp_path)
    assert (document["rates"], document["verification"]) == ([], None)
    assert document["turn"]["first_rate_after"] is None


def rate(value: float, ttft: float | None, failed: int = 0) -> dict:
    return {"rate": value, "metrics": {"ttft_p50": ttft, "failed": failed}}


@pytest.mark.parametrize(
    ("rates", "before", "after"),
    [
        ([rate(1, 0.1), rate(2, 0.2), rate(4, 0.3)], 2, 4),
        ([rate(1, 0.1), rate(2, 0.1, failed=1)], 1, 2),
        ([rate(1, 0.1), rate(2, 0.2)], None, None),
        ([rate(1, None, failed=9), rate(2, None, failed=9)], None, 1),
    ],
)
def test_latency_turns_up_where_it_passes_the_factor_or_requests_fail(rates, before, after):
    found = result.turn(rates, 2.0)
    assert (found["last_rate_before"], found["first_rate_after"]) == (before, after)


def test_a_prompt_that_fills_its_blocks_never_finds_its_last_one():
    requests = [TracedRequest(name, 0.0, 0, list(range(64)), [1, 2]) for name in "ab"]
    assert SharedTokens.of(workload.trace_of(requests), 32).prompts == 32


def test_an_earlier_answer_counts_as_shared_with_outputs_only():
    first = TracedRequest("a", 0.0, 0, list(range(32)), list(range(32, 65)))
    later = TracedRequest("b", 1.0, 0, list(range(65)), [1])
    found = SharedTokens.of(workload.trace_of([first, later]), 32)
    assert (found.prompts, found.with_outputs) == (32, 64)


def test_the_workload_is_whole_conversations_cut_and_the_same_for_a_seed():
    trace = trace_of(10, 2)
    chosen = workload.choose(trace, 6, 200, 4, seed=1)
    assert chosen == workload.choose(trace, 6, 200, 4, seed=1)
    assert len({row.request_id.partition("-")[0] for row in chosen}) == 3
    assert {len(row.output) for row in chosen} == {4}
    full = {row.request_id: row for row in requests_of(trace)}
    assert all(replace(row, output=[]).prompt == full[row.request_id].prompt for row in chosen)


def test_without_vllm_the_rules_files_give_the_reason(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    trace_of(10, 2).write(tmp_path / "small_trace.parquet")
    run(
        "load_sweep",
        tmp_path,
        f"--trace small_trace.parquet --model-dir {tmp_path} --device cpu --requests 6 --rates 4 8 "
        "--repeats 1 --max-prompt-tokens 200 --max-output-tokens 4 --num-blocks 60 --block-size 32 "
        "--max-num-seqs 4 --max-num-batched-tokens 128 --timeout 30 --startup 30 --seed 0 "
        "--output sweep.json --server-log server.log",
    )
    document = predict(tmp_path)
    assert document["status"] == "not_run"
    assert "not installed" in document["reason"]


def test_a_changed_prediction_or_metric_reruns_no_load():
    measured = code_of("scripts/load_sweep.py", ROOT)
    predicted = code_of("scripts/load_predict.py", ROOT)
    for module in ("oracle/engine", "load/result", "sharing/analysis"):
        assert f"src/vllm_lab/{module}.py" not in measured
        assert f"src/vllm_lab/{module}.py" in predicted
    assert [file for file in measured if "mini_vllm/v" in file] == []
    assert [file for file in predicted if "/engines/" in file] == []
