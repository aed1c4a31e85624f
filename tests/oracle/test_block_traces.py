"""A trace of block ids (Mooncake's) is decided as vLLM decides the tokens that the ids stand for."""

import lzma
from pathlib import Path

import pytest

pytest.importorskip("vllm")

from mini_vllm.errors import MiniError
from mini_vllm.limits import Limits
from mini_vllm.tools.engines import build
from mini_vllm.tools.trace import read_trace
from vllm_lab.oracle import engine
from vllm_lab.replay import mini
from vllm_lab.replay.comparison import compare
from vllm_lab.replay.replay import requests_of
from vllm_lab.traces.formats import IMPORTS
from vllm_lab.traces.trace import Trace

MOONCAKE = Path(__file__).parents[2] / "resources" / "mooncake_conversation_trace.jsonl.xz"


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    """The first 60 requests of Mooncake's conversation trace."""
    lines = tmp_path_factory.mktemp("mooncake") / "trace.jsonl"
    with lzma.open(MOONCAKE, "rt") as file:
        lines.write_text("".join(line for line, _ in zip(file, range(60), strict=False)))
    path = lines.with_suffix(".parquet")
    IMPORTS["mooncake"].read(lines, 512).write(path)
    return path


@pytest.mark.parametrize("num_blocks", [260, 2000])
def test_ids_of_blocks_give_vllms_decisions_and_names_of_evicted_blocks(trace, num_blocks):
    limits = Limits(num_blocks, 512)
    oracle = engine.run(requests_of(Trace.read(trace)), limits)
    ids = mini.run_rows("v4_prefix", read_trace(str(trace)), limits)
    assert compare(oracle, ids).report().endswith("0 steps differ, 0 requests differ")
    assert any(row.cached_tokens for row in ids.requests)
    assert any(step.evicted for step in ids.steps) == (num_blocks == 260)


def test_the_expanded_tokens_share_a_block_if_and_only_if_the_ids_are_equal(tmp_path):
    path = tmp_path / "two.jsonl"
    path.write_text(
        '{"timestamp":0,"input_length":10,"output_length":3,"hash_ids":[7,8,9]}\n'
        '{"timestamp":1,"input_length":9,"output_length":1,"hash_ids":[7,5,9]}\n'
    )
    one, two = requests_of(IMPORTS["mooncake"].read(path, 4))
    assert one.prompt == [7] * 4 + [8] * 4 + [-1] * 2 and one.output == [-1] * 3
    assert two.prompt == [7] * 4 + [5] * 4 + [-2]


def test_another_block_size_than_the_traces_is_refused_by_name(trace):
    with pytest.raises(MiniError, match="block_size is 16, must be 512"):
        build("v4_prefix", read_trace(str(trace), 5), Limits(100, 16))
