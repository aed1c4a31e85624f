"""An imported trace's replay by block ids is the replay of the tokens that the ids stand for."""

import json

import pytest
import replay_mini as by_tokens
import replay_mini_imported as by_blocks

from vllm_lab.traces.mooncake import read_mooncake


@pytest.mark.parametrize("num_blocks", [16, 200])
def test_requests_and_metrics_are_those_of_the_expanded_tokens(tmp_path, num_blocks):
    lines = [
        {"timestamp": 40 * row, "input_length": 13, "output_length": 3 + row % 4,
         "hash_ids": [row % 3, 3 + row % 2, 5, 10 + row]}
        for row in range(30)
    ]  # fmt: skip
    path, trace = tmp_path / "lines.jsonl", tmp_path / "blocks_trace.parquet"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    read_mooncake(path, 4).write(trace)
    flags = ["--version", "v4_prefix", "--trace", str(trace), "--block-size", "4"]
    flags += ["--num-blocks", str(num_blocks), "--clock", "0.01,0.00001,0.0001"]

    def outputs(name: str) -> list[str]:
        return ["--requests", str(tmp_path / f"{name}.csv"), "--record", str(tmp_path / f"{name}.json")]

    by_blocks.main([*flags, *outputs("blocks")])
    by_tokens.main([*flags, *outputs("tokens"), "--steps", str(tmp_path / "steps.jsonl")])
    for ending in ("csv", "json"):
        one, other = (tmp_path / f"{name}.{ending}" for name in ("blocks", "tokens"))
        assert one.read_bytes() == other.read_bytes()
    record = json.loads((tmp_path / "blocks.json").read_text())
    assert record["metrics"]["hit_rate"] > 0
    assert (record["metrics"]["evictions"] > 0) == (num_blocks == 16)
