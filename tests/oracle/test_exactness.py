"""mini_vllm takes vLLM's decisions, step for step: random workloads and corner cases."""

import pytest

pytest.importorskip("vllm")

from mini_vllm.clock import Clock
from mini_vllm.limits import Limits
from vllm_lab.oracle.fuzz import Ask, Case, fuzz, judge

VERSIONS = (("v3_priority", False), ("v4_prefix", True))
POLICIES = ("fcfs", "priority")
BLOCK = 16


def ask(name, shared, output=1, own=0, arrival=0.0, priority=0):
    return Ask(name, arrival, priority, 0, shared, own, output)


def alike(count, **fields):
    return tuple(ask(f"r{i}", **fields) for i in range(count))


CORNERS = {
    "four requests of different priorities in twelve blocks": (
        13,
        64,
        tuple(ask(str(i), 0, 40, own=40, priority=p) for i, p in enumerate([3, 0, 2, 1])),
    ),
    "a fully cached prompt of whole blocks": (20, 64, (ask("a", 64), ask("b", 64, arrival=9.0, output=40))),
    "a next turn that contains the last one's output": (
        20,
        64,
        (ask("a", 40, 30), ask("b", 70, 5, arrival=9.0)),
    ),
    "one-token prompts": (4, 8, alike(30, shared=1, output=3)),
    "requests as large as the whole cache": (4, 16, alike(5, shared=33, output=16)),
    "one token larger than the whole cache": (4, 16, alike(3, shared=33, output=17)),
    "two thousand identical prompts": (300, 512, alike(2000, shared=48, output=2)),
    "all at once in a cache too small for all": (9, 64, alike(40, shared=20, own=7, output=40)),
    "one usable block": (2, 8, alike(6, shared=9, output=8)),
    "one sequence at a time": (9, 8, alike(8, shared=33, own=1, output=9)),
}


@pytest.mark.parametrize("version", ["v3_priority", "v4_prefix"])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("corner", CORNERS)
def test_corner_cases_are_decided_as_vllm_decides_them(corner, policy, version):
    num_blocks, budget, asks = CORNERS[corner]
    limits = Limits(
        num_blocks,
        BLOCK,
        max_num_seqs=1 if corner.startswith("one sequence") else 8,
        max_num_batched_tokens=budget,
        policy=policy,
        prefix_caching=version == "v4_prefix",
        clock=Clock(1.0, 0.0, 0.0),
    )
    assert judge(version, Case(limits, asks)).failure is None


@pytest.mark.parametrize(("version", "prefix_caching"), VERSIONS)
def test_500_random_workloads_are_decided_as_vllm_decides_them(version, prefix_caching):
    verdicts = list(fuzz(version, 500, seed=20))
    failures = {number: verdict.failure for number, verdict in enumerate(verdicts) if verdict.failure}
    assert failures == {}
    assert sum(verdict.preemptions > 0 for verdict in verdicts) >= 160
    assert not prefix_caching or sum(verdict.evictions > 0 for verdict in verdicts) >= 160


@pytest.mark.parametrize("version", ["v1_naive", "v2_lru"])
def test_a_learners_guess_parts_from_vllm_somewhere_and_dies_nowhere_of_a_fault(version):
    verdicts = list(fuzz(version, 40, seed=0))
    failures = [verdict.failure for verdict in verdicts if verdict.failure is not None]
    assert failures
    assert not [failure for failure in failures if "Traceback" in failure]
