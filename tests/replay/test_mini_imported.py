"""An imported trace's replay by block ids is the replay of the tokens that the ids stand for."""

import json

import pytest
import replay_mini

from mini_vllm.clock import Clock
from mini_vllm.limits import Limits
from vllm_lab.replay import mini
from vllm_lab.replay.records import RunFiles, simulated_record
from vllm_lab.replay.replay import requests_of
from vllm_lab.traces.formats import IMPORTS
from vllm_lab.traces.trace import Trace


@pytest.mark.parametrize("num_blocks", [16, 200])
def test_requests_and_metrics_are_those_of_the_expanded_tokens(tmp_path, num_blocks):
    lines = [
        {"timestamp": 40 * row, "input_length": 13, "output_length": 3 + row % 4,
         "hash_ids": [row % 3, 3 + row % 2, 5, 10 + row]}
        for row in range(30)
    ]  # fmt: skip
    path, trace = tmp_path / "lines.jsonl", tmp_path / "blocks_trace.parquet"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    IMPORTS["mooncake"].read(path, 4).write(trace)
    files = {kind: RunFiles.of(str(tmp_path / kind)) for kind in ("blocks", "tokens")}
    replay_mini.main(
        ["--version", "v4_prefix", "--trace", str(trace), "--block-size", "4", "--num-blocks",
         str(num_blocks), "--clock", "0.01,0.00001,0.0001", "--requests", files["blocks"].requests,
         "--record", files["blocks"].record]
    )  # fmt: skip

    requests = requests_of(Trace.read(trace))
    limits = Limits(num_blocks, block_size=4, clock=Clock(0.01, 0.00001, 0.0001))
    result = mini.run("v4_prefix", requests, limits)
    files["tokens"].write(result, simulated_record("v4_prefix", requests, limits, result))
    for ending in ("requests.csv", "json"):
        one, other = (tmp_path / f"{name}.{ending}" for name in ("blocks", "tokens"))
        assert one.read_bytes() == other.read_bytes()
    assert not (tmp_path / "blocks.steps.jsonl").exists()
    record = json.loads((tmp_path / "blocks.json").read_text())
    assert record["metrics"]["hit_rate"] > 0
    assert (record["metrics"]["evictions"] > 0) == (num_blocks == 16)
