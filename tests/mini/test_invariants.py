"""What must hold for every workload, after every step."""

from collections import Counter

import pytest
from hypothesis import given, settings

from mini_vllm.errors import OutOfBlocks
from mini_vllm.tools.versions import VERSIONS
from tests.mini.workloads import engine, steps, workloads

LATER = list(VERSIONS)[1:]


def running_to_the_end(run):
    """The steps of `run` until its end, v1's OutOfBlocks included."""
    try:
        yield from run.run()
    except OutOfBlocks:
        return


@pytest.mark.parametrize("version", VERSIONS)
@given(workload=workloads())
@settings(max_examples=60, deadline=None)
def test_free_and_used_blocks_are_all_blocks_after_every_step(version, workload):
    run = engine(version, *workload)
    for step in running_to_the_end(run):
        used = {block for request in run.scheduler.running for block in request.block_table}
        free = list(run.blocks.free)
        assert sorted([*free, *used]) == list(range(1, workload[1].num_blocks))
        assert step.free_blocks == len(free)


@pytest.mark.parametrize("version", [name for name, version in VERSIONS.items() if not version.caches])
@given(workload=workloads())
@settings(max_examples=60, deadline=None)
def test_without_a_prefix_cache_no_block_has_two_owners(version, workload):
    run = engine(version, *workload)
    for _ in running_to_the_end(run):
        owners = Counter(block for request in run.scheduler.running for block in request.block_table)
        assert all(count == 1 for count in owners.values())


@given(workload=workloads())
@settings(max_examples=100, deadline=None)
def test_reference_counts_are_the_tables_and_only_known_equal_content_is_shared(workload):
    run = engine("v4_prefix", *workload)
    size = workload[1].block_size
    for _ in run.run():
        owners = Counter(block for request in run.scheduler.running for block in request.block_table)
        assert {block: count for block, count in enumerate(run.blocks.references) if count} == dict(owners)
        content: dict[int, bytes] = {}
        for request in run.scheduler.running:
            for index, block in enumerate(request.block_table):
                beginning = request.token_bytes[: 4 * (index + 1) * size]
                if owners[block] > 1:
                    assert block in run.blocks.cache.node_of
                    assert content.setdefault(block, beginning) == beginning


@given(workload=workloads())
@settings(max_examples=100, deadline=None)
def test_the_trie_holds_each_cached_block_once_and_no_dead_branch(workload):
    run = engine("v4_prefix", *workload)
    for _ in run.run():
        found, nodes = [], list(run.blocks.cache.root.children.values())
        while nodes:
            node = nodes.pop()
            assert node.blocks or node.children
            found += node.blocks
            nodes += node.children.values()
        assert sorted(found) == sorted(run.blocks.cache.node_of)


@pytest.mark.parametrize("version", LATER)
@given(workload=workloads())
@settings(max_examples=60, deadline=None)
def test_every_request_finishes_or_is_refused_by_name_and_blocks_never_run_out(version, workload):
    run = engine(version, *workload)
    finished = [name for step in run.run() for name in step.finished]
    refused = [request.request_id for request, why in run.refused if why]
    assert sorted(finished + refused) == sorted(row.request_id for row in workload[0])
    assert run.blocks.num_free == workload[1].num_blocks - 1


@pytest.mark.parametrize("version", VERSIONS)
@given(workload=workloads())
@settings(max_examples=40, deadline=None)
def test_no_step_exceeds_the_budget_or_the_number_of_sequences(version, workload):
    limits = workload[1]
    for step in running_to_the_end(engine(version, *workload)):
        assert sum(step.scheduled.values()) <= limits.max_num_batched_tokens
        assert len(step.scheduled) <= limits.max_num_seqs


@pytest.mark.parametrize("version", LATER)
@given(workload=workloads())
@settings(max_examples=40, deadline=None)
def test_under_fcfs_nobody_starts_before_an_earlier_arrival(version, workload):
    rows, limits = workload
    limits = limits.__class__(**{**vars(limits), "policy": "fcfs"})
    run = engine(version, rows, limits)
    order = [request.request_id for request in reversed(run.coming)]
    first: list[str] = []
    for step in run.run():
        first += [name for name in step.scheduled if name not in first]
    assert first == order


@pytest.mark.parametrize("version", LATER)
@given(workload=workloads())
@settings(max_examples=30, deadline=None)
def test_the_same_workload_gives_the_same_bytes(version, workload):
    once, again = ([step.line() for step in steps(version, *workload)] for _ in range(2))
    assert once == again
