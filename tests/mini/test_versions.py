"""What each version adds, on cases that can be followed by hand (docs/mini_vllm.md)."""

import subprocess
import sys

import pytest

from mini_vllm.errors import OutOfBlocks
from mini_vllm.limits import Limits
from mini_vllm.tools.engines import ENGINES
from mini_vllm.tools.explain import explain
from mini_vllm.tools.versions import VERSIONS
from mini_vllm.v2_lru.linked_list import LinkedList
from tests.mini.workloads import CLOCK, Row, engine, steps

# Three requests of 4 + 5 tokens in 5 usable blocks of 4 tokens: each needs 2 blocks to the end, 6 in all.
ROWS = [
    Row(name, 0.0, priority, [n] * 4, [9] * 5)
    for n, (name, priority) in enumerate(zip("abc", (2, 0, 1), strict=True))
]
LIMITS = Limits(6, 4, 8, 64, clock=CLOCK)


def test_v1_fails_at_the_first_decode_without_a_block():
    run = engine("v1_naive", ROWS, LIMITS)
    taken = []
    with pytest.raises(OutOfBlocks, match="c needs 1 blocks, 0 are free"):
        taken.extend(run.run())
    assert [step.scheduled for step in taken] == [{"a": 4, "b": 4, "c": 4}]


def test_v2_takes_the_least_recently_scheduled():
    assert next(s for s in steps("v2_lru", ROWS, LIMITS) if s.preempted).preempted == ["a"]


@pytest.mark.parametrize(("policy", "victim"), [("fcfs", "c"), ("priority", "a")])
def test_v3_takes_the_last_or_the_lowest_priority(policy, victim):
    limits = Limits(6, 4, 8, 64, policy, clock=CLOCK)
    assert next(s for s in steps("v3_priority", ROWS, limits) if s.preempted).preempted == [victim]


def test_v4_hits_blocks_scheduled_earlier_in_the_same_step():
    rows = [Row(name, 0.0, 0, [1] * 9, [2]) for name in "ab"]
    assert next(steps("v4_prefix", rows, LIMITS)).scheduled == {"a": 9, "b": 1}


def test_explain_names_the_hit_the_wait_and_the_preemption():
    text = "\n".join(explain(engine("v3_priority", ROWS, LIMITS), "c"))
    assert "admitted" in text and "preempted" in text and "finishes" in text
    rows = [Row(name, 0.0, 0, [1] * 9, [2]) for name in "ab"]
    assert "8 tokens from the cache" in "\n".join(explain(engine("v4_prefix", rows, LIMITS), "b"))
    assert "waits: max_num_seqs" in "\n".join(
        explain(engine("v4_prefix", rows, Limits(6, 4, 1, 64, clock=CLOCK)), "b")
    )


def test_the_linked_list_keeps_order_under_removal():
    order = LinkedList()
    for key in "abcd":
        order.append(key)
    order.remove("b")  # in the middle
    order.remove("d")  # at the back
    order.append("e")
    found = []
    while (key := order.first()) is not None:
        assert key in order
        found.append(key)
        order.remove(key)  # at the front
    assert found == ["a", "c", "e"] and "a" not in order
    with pytest.raises(KeyError):
        order.remove("a")


def test_the_table_and_the_engines_agree():
    assert list(VERSIONS) == list(ENGINES)
    caches = {name: hasattr(kind([], LIMITS).blocks, "cache") for name, kind in ENGINES.items()}
    assert caches == {name: version.caches for name, version in VERSIONS.items()}


def test_the_table_imports_no_engine():
    code = (
        "import sys, mini_vllm.tools.versions; print([m for m in sys.modules if m.startswith('mini_vllm')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['mini_vllm', 'mini_vllm.tools', 'mini_vllm.tools.versions']"
