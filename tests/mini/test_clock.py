"""The two clocks: what a step's length depends on, and how a cost model's file may be wrong."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_vllm.__main__ import main
from mini_vllm.clock import Clock, CostModel, StepLoad, is_decode, parse_clock, read_cost_model
from mini_vllm.errors import MiniError
from mini_vllm.limits import Limits
from tests.mini.workloads import Row, engine

MODEL = {"base": 1.0, "per_prefill_token": 0.5, "per_decode_token": 0.25, "per_context_token": 0.125}


def test_a_step_splits_into_prefill_decode_and_context_tokens():
    assert StepLoad.of([8, 1, 1], [8, 11, 20], [8, 10, 4]) == (8, 2, 36 + 11 + 20, 3)


def test_the_last_chunk_of_a_prompt_is_a_prefill_even_if_it_is_one_token():
    assert [is_decode(1, before, 9) for before in (8, 9)] == [False, True]
    assert StepLoad.of([1], [9], [9]) == (1, 0, 9, 1)
    assert StepLoad.of([1, 1], [9, 9], [9, 8])[:2] == (1, 1)


@pytest.mark.parametrize("version", ["v3_priority", "v4_prefix"])
@given(prompt=st.integers(1, 40), budget=st.integers(1, 9), output=st.integers(1, 4))
def test_however_a_prompt_is_cut_its_tokens_are_prefill_and_the_outputs_decodes(
    version, prompt, budget, output
):
    rows = [Row("a", 0.0, 0, [1] * prompt, [2] * output)]
    limits = Limits(60, 1, 1, budget, clock=CostModel(0, 1, 1000, 0))  # seconds count prefill and decode
    run = engine(version, rows, limits)
    list(run.run())
    assert run.now == prompt + 1000 * (output - 1)


def test_a_prefill_looks_at_as_many_tokens_in_chunks_as_at_once():
    whole = StepLoad.of([100], [100], [100]).context_tokens
    assert whole == sum(range(1, 101))
    parts = StepLoad.of([60], [60], [100]), StepLoad.of([40], [100], [100])
    assert sum(part.context_tokens for part in parts) == whole


def test_a_cost_model_times_a_prefill_and_the_decodes_behind_it():
    rows = [Row("a", 0.0, 0, [1] * 8, [2] * 3)]
    steps = list(engine("v1_naive", rows, Limits(9, 4, clock=CostModel(**MODEL))).run())
    ends = [1 + 8 * 0.5 + 36 * 0.125]
    ends += [ends[0] + 1 + 0.25 + 9 * 0.125]
    assert [step.time for step in steps] == [0.0, *ends]


def test_the_plain_clock_counts_tokens_and_requests():
    assert Clock(1.0, 0.5, 0.25).step_seconds([8, 1], [8, 5], [8, 4]) == 1 + 9 * 0.5 + 2 * 0.25
    assert parse_clock("1,0.5,0.25") == Clock(1.0, 0.5, 0.25)


@pytest.mark.parametrize("text", ["", "1,2", "a,b,c", "1,2,3,4"])
def test_a_clock_that_is_not_three_numbers_is_refused(text):
    with pytest.raises(MiniError, match="base,per_token,per_request"):
        parse_clock(text)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{", "not a cost model"),
        ("[1]", "not a cost model"),
        (json.dumps({**MODEL, "base": "x"}), "not a cost model"),
        (json.dumps({"base": 1.0}), "per_prefill_token is missing"),
    ],
)
def test_a_broken_cost_model_is_named(tmp_path, content, named):
    path = tmp_path / "cost.json"
    path.write_text(content)
    with pytest.raises(MiniError, match=named) as caught:
        read_cost_model(str(path))
    assert str(path) in str(caught.value)


def test_the_command_takes_a_cost_model_and_names_a_missing_file(tmp_path, capsys):
    trace = tmp_path / "t.jsonl"
    row = {"request_id": "a", "arrival_time": 0, "prompt_token_ids": [1] * 8, "output_token_ids": [2] * 3}
    trace.write_text(json.dumps(row))
    model = tmp_path / "cost.json"
    model.write_text(json.dumps(MODEL))
    arguments = ["run", "--version", "v3_priority", "--trace", str(trace), "--num-blocks", "9"]
    arguments += ["--steps", str(tmp_path / "s.jsonl"), "--requests", str(tmp_path / "r.csv")]
    main([*arguments, "--cost-model", str(model)])
    assert json.loads((tmp_path / "s.jsonl").read_text().splitlines()[1])["time"] == 9.5
    with pytest.raises(SystemExit):
        main([*arguments, "--cost-model", str(tmp_path / "none.json")])
    assert "none.json: No such file" in capsys.readouterr().err
