"""vLLM's scheduler in virtual time: the golden run, the corner cases, and what a run leaves."""

import json

import pytest

pytest.importorskip("vllm")

from mini_vllm.clock import Clock
from mini_vllm.errors import MiniError
from mini_vllm.limits import Limits
from vllm_lab.common.errors import LabError
from vllm_lab.oracle import engine
from vllm_lab.replay import records
from vllm_lab.replay.replay import TracedRequest


def request(name, prompt, output=1, arrival=0.0, priority=0):
    """A request of the given prompt (a list of ids, or so many ids that no other name has)."""
    own = sum(map(ord, name)) * 10_000
    if isinstance(prompt, int):
        prompt = list(range(own, own + prompt))
    return TracedRequest(name, arrival, priority, prompt, list(range(own + 5_000, own + 5_000 + output)))


def preemptions(result):
    return [(step.step, step.preempted) for step in result.steps if step.preempted]


def outcome(result, name):
    return next(row for row in result.requests if row.request_id == name)


@pytest.mark.parametrize(
    ("policy", "priorities", "victims"),
    [("fcfs", [0, 0, 0, 0], ["3", "2"]), ("priority", [3, 0, 2, 1], ["0", "2"])],
)
def test_four_requests_in_twelve_blocks_preempt_vllms_victims_at_vllms_steps(policy, priorities, victims):
    requests = [request(str(i), 40, 40, priority=priorities[i]) for i in range(4)]
    result = engine.run(requests, Limits(13, max_num_batched_tokens=64, max_num_seqs=4, policy=policy))
    assert len(result.steps) == 74
    assert len(preemptions(result)) == 2
    assert [name for _, names in preemptions(result) for name in names] == victims


@pytest.mark.parametrize(("tokens", "cached"), [(15, 0), (16, 0), (17, 16), (32, 16), (33, 32), (48, 32)])
def test_a_fully_cached_prompt_computes_its_last_block_again(tokens, cached):
    prompt = list(range(tokens))
    result = engine.run([request("a", prompt), request("b", prompt, arrival=1.0)], Limits(20))
    assert outcome(result, "b").cached_tokens == cached
    assert result.steps[1].scheduled == {"b": tokens - cached}


def test_a_request_hits_the_blocks_that_another_scheduled_in_the_same_step():
    prompt = list(range(64))
    result = engine.run([request("a", prompt), request("b", prompt)], Limits(20))
    assert result.steps[0].scheduled == {"a": 64, "b": 16}


def test_a_request_as_large_as_the_cache_runs_and_one_token_more_is_refused():
    fits, too_long = request("fits", 33, 16), request("long", 33, 17)
    result = engine.run([fits, too_long], Limits(4))
    assert [refusal.request_id for refusal in result.refused] == ["long"]
    assert outcome(result, "fits").output_tokens == 16
    assert outcome(result, "long").ttft is None
    assert all("long" not in step.scheduled for step in result.steps)


def test_without_chunked_prefill_a_request_longer_than_the_budget_is_refused():
    limits = Limits(100, max_num_batched_tokens=64, max_num_seqs=4, chunked_prefill=False)
    result = engine.run([request("a", 60, 5), request("b", 60, 6)], limits)
    assert [refusal.request_id for refusal in result.refused] == ["b"]
    assert result.steps[0].scheduled == {"a": 60}


def test_one_token_prompts_all_at_once_are_served_in_the_order_of_the_file():
    result = engine.run([request(f"r{i}", 1) for i in range(9)], Limits(4, max_num_seqs=4))
    assert [list(step.scheduled) for step in result.steps] == [
        ["r0", "r1", "r2"],
        ["r3", "r4", "r5"],
        ["r6", "r7", "r8"],
    ]


def test_two_thousand_identical_prompts_share_all_but_the_last_block():
    prompt = list(range(64))
    result = engine.run([request(f"r{i}", prompt) for i in range(2000)], Limits(2100))
    assert sum(row.cached_tokens == 48 for row in result.requests) == 1999


def test_evicted_blocks_are_named_by_a_hash_that_anyone_can_compute():
    result = engine.run([request("a", [1] * 33), request("b", 33, arrival=1.0)], Limits(4))
    # sha256 of 32 zero bytes and sixteen int32 ones, first 8 bytes; then of that digest and the same tokens
    from hashlib import sha256

    ones = (1).to_bytes(4, "little") * 16
    first = sha256(bytes(32) + ones).digest()
    second = sha256(first + ones).digest()
    assert result.steps[1].evicted == [second[:8].hex(), first[:8].hex()]  # the tail goes first


def test_time_starts_at_zero_jumps_over_idleness_and_adds_what_the_clock_says():
    clock = Clock(1.0, 0.25, 0.5)
    result = engine.run([request("a", 2, 2), request("b", 1, arrival=100.0)], Limits(9, clock=clock))
    assert [step.time for step in result.steps] == [0.0, 2.0, 100.0]
    row = outcome(result, "a")
    assert (row.ttft, row.tpot, row.e2e) == (2.0, 1.75, 3.75)
    assert outcome(result, "b").tpot is None


def test_a_request_that_arrives_during_a_step_enters_the_next_one():
    clock = Clock(1.0, 0.0, 0.0)
    requests = [request("a", 2, 3), request("b", 2, arrival=1.0), request("c", 2, arrival=1.5)]
    result = engine.run(requests, Limits(9, clock=clock))
    assert [list(step.scheduled) for step in result.steps] == [["a"], ["a", "b"], ["a", "c"]]


def test_a_scheduler_that_schedules_nothing_twice_alike_is_an_error_and_no_endless_loop(monkeypatch):
    monkeypatch.setattr(Limits, "refusal", lambda *_: None)
    with pytest.raises(LabError, match="no progress"):
        engine.run([request("large", 64)], Limits(4))


def test_the_same_requests_give_the_same_bytes(tmp_path):
    requests = [request(f"r{i}", 40, 40, arrival=0.001 * i) for i in range(20)]
    for name in ("first", "second"):
        result = engine.run(requests, Limits(30))
        records.write_steps(tmp_path / f"{name}.jsonl", result.steps)
        records.write_requests(tmp_path / f"{name}.csv", result.requests)
    for kind in ("jsonl", "csv"):
        assert (tmp_path / f"first.{kind}").read_bytes() == (tmp_path / f"second.{kind}").read_bytes()
    line = json.loads((tmp_path / "first.jsonl").read_text().splitlines()[0])
    assert list(line) == ["step", "time", "scheduled", "preempted", "finished", "evicted", "free_blocks"]


def test_cached_tokens_are_those_of_the_first_admission_not_of_a_resumption():
    requests = [request(str(i), 40, 40) for i in range(4)]
    result = engine.run(requests, Limits(13, max_num_batched_tokens=64, max_num_seqs=4))
    assert {row.preemptions for row in result.requests} == {0, 1}
    assert all(row.cached_tokens == 0 for row in result.requests)


@pytest.mark.parametrize(
    "limits",
    [
        {"num_blocks": 1},
        {"max_num_seqs": 8, "max_num_batched_tokens": 4},
        {"policy": "lifo"},
        {"block_size": 0},
    ],
)
def test_limits_that_vllm_would_not_take_are_refused_by_name(limits):
    with pytest.raises(MiniError, match=next(reversed(limits))):
        Limits(**{"num_blocks": 10, **limits})
