"""The fast loop writes the very bytes of the readable one: steps and requests."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_vllm import fast
from mini_vllm.clock import Clock, CostModel
from mini_vllm.records import lines, outcome
from tests.mini.workloads import CLOCK, engine, workloads

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
    for run in (type(engine(version, rows, limits)).run, fast.run, lambda e: fast.run(e, record=False)):
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
