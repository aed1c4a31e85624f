"""Each sentence that `explain` can say, on traces that can be followed by hand; blocks of 4 tokens."""

import pytest

from mini_vllm.errors import MiniError
from mini_vllm.limits import Limits
from mini_vllm.tools.explain import explain
from mini_vllm.tools.trace import block_request
from mini_vllm.v4_prefix.engine import Engine
from tests.mini.test_versions import ROWS
from tests.mini.workloads import CLOCK, Row, engine


def story(version, rows, name, num_blocks=6, **limits):
    """The lines of `name`'s life."""
    return list(explain(engine(version, rows, Limits(num_blocks, 4, 8, 64, clock=CLOCK, **limits)), name))


def row(name, prompt, output=(9,), arrival=0.0):
    return Row(name, arrival, 0, list(prompt), list(output))


def test_a_preempted_request_hears_who_needed_the_block_and_what_it_lost():
    rows = [ROWS[0], *(row._replace(arrival_time=0.005) for row in ROWS[1:])]
    lines = story("v3_priority", rows, "a", policy="priority")
    assert lines[0] == "arrives at 0 s, priority 2, 4 prompt tokens, 5 output tokens"
    assert any("first token at" in line for line in lines)
    preempted = next(line for line in lines if "preempted:" in line)
    assert "c needs a block, none is free, and this one has the lowest priority" in preempted
    assert "loses 5 computed tokens" in preempted


def test_a_request_that_preempts_itself_hears_so():
    assert any("it needs a block itself" in line for line in story("v3_priority", ROWS, "c"))


@pytest.mark.parametrize(("version", "again"), [("v3_priority", 4), ("v4_prefix", 0)])
def test_after_a_preemption_the_story_says_what_is_computed_again(version, again):
    lines = story(version, ROWS, "c")
    assert any(f"{again} of its tokens for the second time" in line for line in lines) == bool(again)
    assert "preempted 1 times" in lines[-1] and f"{again} tokens computed again" in lines[-1]


def test_a_wait_and_its_reason_are_one_line_and_its_length_follows_on_admission():
    rows = [row("a", [1] * 4, [9, 9]), row("b", [2] * 4)]
    lines = list(explain(engine("v3_priority", rows, Limits(6, 4, 1, 64, clock=CLOCK)), "b"))
    assert [line.split(": ", 1)[1] for line in lines if "waits" in line] == [
        "waits: max_num_seqs requests are running"
    ]
    assert any("admitted after 0.02025 s" in line for line in lines)
    assert lines[-1].startswith("in all: waited 0.02025 s, preempted 0 times")


def test_the_request_before_it_in_the_queue_is_named():
    rows = [row("a", [1] * 16, [9, 9]), row("b", [2] * 16), row("c", [3])]
    lines = story("v3_priority", rows, "c")
    assert any("waits: b is before it (only 1 blocks are free)" in line for line in lines)


@pytest.mark.parametrize(
    ("earlier", "prompt", "why"),
    [
        ([[1] * 8], [1] * 8, "4 tokens from the cache (all it could use: its last token must be computed)"),
        ([[1] * 4], [1] * 4 + [2] * 5, "4 tokens from the cache (nobody had its block 2 before)"),
        (
            [[1] * 8],
            [1] * 6 + [2] * 5,
            "4 tokens from the cache (nobody had its block 2 before: it parts from the others after token 6)",
        ),
        ([[1] * 8, [2] * 16], [1] * 9, "4 tokens from the cache (block 2 was evicted at step 1)"),
        ([[1] * 8, [2] * 20], [1] * 9, "no tokens from the cache (block 1 was evicted at step 1)"),
    ],
)
def test_a_lookups_end_is_explained(earlier, prompt, why):
    rows = [row(f"e{n}", ids, arrival=float(n)) for n, ids in enumerate(earlier)]
    lines = story("v4_prefix", [*rows, row("x", prompt, arrival=9.0)], "x")
    assert any(why in line for line in lines), lines


def test_without_a_prefix_cache_there_is_none_to_miss():
    assert any("no tokens from the cache (there is none)" in x for x in story("v3_priority", ROWS, "b"))


def test_prompts_given_as_block_ids_part_at_whole_blocks():
    requests = [
        block_request(f"r{n}", float(n), 0, 13, 1, ids, 4, -1 - n)
        for n, ids in enumerate([[5, 6, 7, 8], [5, 6, 9, 8]])
    ]
    lines = list(explain(Engine(requests, Limits(20, 4)), "r1"))
    assert any("it parts from the others after token 8" in line for line in lines)


def test_v1s_end_and_a_refusal_and_an_unknown_name_are_named():
    assert "the run ends, c needs 1 blocks, 0 are free" in story("v1_naive", ROWS, "c")[-1]
    assert story("v4_prefix", [row("huge", [1] * 99)], "huge") == ["refused: needs 25 blocks, 5 are usable"]
    with pytest.raises(MiniError, match="'nobody' is not in the trace"):
        story("v4_prefix", ROWS, "nobody")


def test_a_prompt_in_chunks_has_a_line_for_each_chunk():
    run = engine("v4_prefix", [row("a", range(20))], Limits(9, 4, 8, 8, clock=CLOCK))
    text = "\n".join(explain(run, "a"))
    assert "computes 8 of 20" in text and "computes 8 more prompt tokens, 16 of 20" in text
