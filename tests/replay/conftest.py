"""A run made by hand, small enough to compute every number of it on paper."""

import pytest

from mini_vllm.clock import Clock
from mini_vllm.limits import Limits
from mini_vllm.tools.records import Step
from vllm_lab.replay.replay import Outcome, Refusal, Result, TracedRequest

# 9 usable blocks of 4 tokens. a, b and c arrive at 0 s, and c has to wait; big never fits; d comes after two
# idle seconds. b is preempted in step 1 and computes its 4 tokens again, and the one it had got, in step 3.
LIMITS = Limits(
    num_blocks=10, block_size=4, max_num_seqs=2, max_num_batched_tokens=8, clock=Clock(1.0, 0.0, 0.0)
)


@pytest.fixture
def limits():
    return LIMITS


@pytest.fixture
def requests():
    def ask(name, arrival, prompt, output, priority=0):
        return TracedRequest(name, arrival, priority, [1] * prompt, [2] * output)

    return [
        ask("a", 0.0, 4, 3),
        ask("b", 0.0, 4, 2, priority=1),
        ask("c", 0.0, 8, 1),
        ask("big", 0.5, 99, 9),
        ask("d", 6.0, 4, 1),
    ]


@pytest.fixture
def result():
    steps = [
        Step(0, 0.0, {"a": 4, "b": 4}, [], [], [], 7),
        Step(1, 1.0, {"a": 1}, ["b"], [], ["0" * 16], 7),
        Step(2, 2.0, {"a": 1, "c": 6}, [], ["a", "c"], [], 9),
        Step(3, 3.0, {"b": 5}, [], ["b"], [], 9),
        Step(4, 6.0, {"d": 4}, [], ["d"], [], 9),
    ]
    outcomes = [
        Outcome("a", 0.0, 0, 0, 1.0, 1.0, 3.0, 3),
        Outcome("b", 0.0, 0, 1, 1.0, 3.0, 4.0, 2),
        Outcome("c", 0.0, 2, 0, 3.0, None, 3.0, 1),
        Outcome("big", 0.5, None, None, None, None, None, 0),
        Outcome("d", 6.0, 0, 0, 1.0, None, 1.0, 1),
    ]
    return Result(steps, outcomes, [Refusal("big", "needs 27 blocks, 9 are usable")])
