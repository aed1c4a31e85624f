"""v3 without and v4 with a prefix cache take vLLM's decisions: every field of every step, every request."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_vllm.clock import CostModel
from mini_vllm.limits import Limits
from mini_vllm.tools.records import COLUMNS, outcome
from tests.mini.workloads import CLOCK, Row, engine, workloads
from vllm_lab.oracle.engine import run
from vllm_lab.replay.replay import TracedRequest

pytest.importorskip("vllm")


def assert_equal(version: str, rows: list[Row], limits: Limits) -> list[str]:
    """Replay on both sides and compare the very lines; return them."""
    caching = version == "v4_prefix"
    truth = run([TracedRequest(*row) for row in rows], replace(limits, prefix_caching=caching))
    mini = engine(version, rows, limits)
    requests = list(reversed(mini.coming))
    lines = [step.line() for step in mini.run()]
    assert lines == [step.line() for step in truth.steps]
    assert [request.request_id for request, _ in mini.refused] == [r.request_id for r in truth.refused]
    kept = [r for r in truth.requests if r.cached_tokens is not None]
    assert [outcome(r) for r in requests] == [[getattr(r, name) for name in COLUMNS] for r in kept]
    return lines


@pytest.mark.parametrize("version", ["v3_priority", "v4_prefix"])
@given(workload=workloads(), clock=st.sampled_from([CLOCK, CostModel(0.005, 0.0004, 0.003, 0.000002)]))
@settings(max_examples=60, deadline=None)
def test_random_workloads_give_the_oracles_steps(version, workload, clock):
    rows, limits = workload
    assert_equal(version, rows, replace(limits, clock=clock))


@pytest.mark.parametrize(
    ("policy", "priorities", "victims"),
    [("fcfs", [0, 0, 0, 0], ["3", "2"]), ("priority", [3, 0, 2, 1], ["0", "2"])],
)
def test_the_golden_case_of_four_requests_in_twelve_blocks(policy, priorities, victims):
    rows = [Row(str(n), 0.0, priorities[n], [n * 100 + i for i in range(40)], [n] * 40) for n in range(4)]
    limits = Limits(13, 16, 16, 2048, policy, clock=CLOCK)
    found = [json.loads(line) for line in assert_equal("v3_priority", rows, limits)]
    # Steps count from 0 and only what schedules a token counts.
    assert [(step["step"], step["preempted"]) for step in found if step["preempted"]] == [
        (9, [victims[0]]),
        (25, [victims[1]]),
    ]
    assert len(found) == 71


@pytest.mark.parametrize("length", [1, 15, 16, 17, 32, 33, 48])
def test_a_prompt_seen_before_computes_its_last_token_at_least(length):
    rows = [Row(name, time, 0, list(range(length)), [7]) for name, time in (("a", 0.0), ("b", 1.0))]
    limits = Limits(20, clock=CLOCK)
    last = json.loads(assert_equal("v4_prefix", rows, limits)[-1])
    assert last["scheduled"]["b"] == length - (length - 1) // 16 * 16


def test_a_request_as_large_as_the_cache_runs_and_a_larger_one_is_refused():
    rows = [Row("whole", 0.0, 0, [1] * 40, [2] * 9), Row("more", 0.0, 0, [1] * 40, [2] * 10)]
    assert len(assert_equal("v4_prefix", rows, Limits(4, clock=CLOCK))) == 9


@pytest.mark.parametrize("num_blocks", [5, 40])
def test_hundreds_of_identical_prompts_at_once(num_blocks):
    rows = [Row(f"r{n}", 0.0, n % 3, list(range(32)), [5] * 17) for n in range(300)]
    for policy in ("fcfs", "priority"):
        assert_equal("v4_prefix", rows, Limits(num_blocks, 16, 64, 128, policy, clock=CLOCK))
