"""The fast loop writes the very bytes of the readable one: steps and requests."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_vllm.clock import Clock, CostModel
from mini_vllm.limits import Limits
from mini_vllm.tools.fast import FastRun
from mini_vllm.tools.records import lines, outcome
from mini_vllm.v3_priority.engine import Engine
from tests.mini.workloads import CLOCK, Row, engine, workloads

CLOCKS = (
    CLOCK,
    Clock(1.0, 0.0, 0.0),
    Clock(0.0, 0.001, 0.0),
    Clock(0.0, 0.0, 0.0),
    CostModel(0.005, 0.0004, 0.003, 0.000002),
)


def both_ways(version, rows, limits):
    """(step lines, request rows) of the readable loop and of the fast one, with and without records."""
    found = []
    for run in (Engine.run, lambda e: FastRun(e).steps(), lambda e: FastRun(e, record=False).steps()):
        one = engine(version, rows, limits)
        requests = list(reversed(one.coming))
        steps = list(lines(run(one)))
        found.append((steps, [outcome(request) for request in requests], one.now, one.steps))
    return found


@pytest.mark.parametrize("version", ["v3_priority", "v4_prefix"])
@given(workload=workloads(), clock=st.sampled_from(CLOCKS))
@settings(max_examples=300, deadline=None)
def test_random_workloads_give_the_readable_loops_bytes(version, workload, clock):
    rows, limits = workload
    plain, quick, unrecorded = both_ways(version, rows, replace(limits, clock=clock))
    assert quick == plain
    assert unrecorded == ([], *plain[1:])


def conversations(count, turns):
    """Rows that share beginnings as conversations do: a prompt holds the one before it and its answer."""
    rng = Random(0)
    rows = []
    for number in range(count):
        stream = [number * 10_000 + n for n in range(4_000)]
        arrival, prompt = rng.uniform(0, 3), 0
        for turn in range(turns):
            prompt += rng.randint(1, 90)
            output = rng.randint(1, 120)
            tokens = stream[:prompt], stream[prompt : prompt + output]
            rows.append(Row(f"c{number}-t{turn}", arrival, rng.randint(0, 2), *tokens))
            arrival, prompt = arrival + rng.expovariate(0.5), prompt + output
    return rows


@pytest.mark.parametrize("policy", ["fcfs", "priority"])
@pytest.mark.parametrize(
    ("num_blocks", "block_size", "budget"), [(4000, 16, 8192), (150, 8, 256), (60, 16, 64)]
)
def test_conversations_give_the_readable_loops_bytes(num_blocks, block_size, budget, policy):
    limits = Limits(num_blocks, block_size, 64, budget, policy, clock=CLOCKS[-1])
    plain, quick, unrecorded = both_ways("v4_prefix", conversations(40, 4), limits)
    assert quick == plain
    assert unrecorded == ([], *plain[1:])
